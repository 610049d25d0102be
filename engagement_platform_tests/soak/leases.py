"""Short leases, one after the other, under `dagster dev`: none is superseded before its time."""

import shutil
import tempfile
import time
from pathlib import Path

from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import own_place
from engagement_platform_tests.bench.recovery import streaming


def leases(endpoints: Endpoints, seconds: float, lease: float) -> list[Figure]:
    """Let leases of `lease` seconds follow each other for `seconds`, and look at how long each was held."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-soak-"))
    try:
        with (
            own_place(endpoints) as place,
            streaming(endpoints, folder, place, lease_seconds=lease) as stream,
        ):
            stream.await_spare()
            began = time.monotonic()
            time.sleep(seconds)
            held, gap = stream.epochs(), 1_000 * stream.arrivals.longest_gap(began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        Figure(f"leases of {lease:.0f} s that have ended", len(held)),
        Figure("of them superseded before their time", sum(one < lease for one in held), at_most=0),
        Figure("longest that one was held", max(held, default=0.0), "s"),
        Figure("longest gap", gap, "ms", at_most=300),
    ]
