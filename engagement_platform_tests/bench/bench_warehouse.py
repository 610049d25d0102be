"""Commit to queryable row: `python -m engagement_platform_tests.bench.bench_warehouse`.

At 500 events a second through relay and stage into Delta Lake; events of our own are committed now and then, and asked
for with the warehouse's own queries until they are there.
"""

import argparse
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from engagement_platform.adapters.warehouse.connect import connect
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.table import ENGAGEMENT_EVENTS
from engagement_platform.local import stack
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.bench_rebuild import own_place
from engagement_platform_tests.bench.live import streaming
from engagement_platform_tests.streaming import insert, wait_for

RATE, SAMPLES = 500, 20
SEED = 7
ASKED = "SELECT COUNT(*) AS n FROM engagement_events WHERE event_ts >= TIMESTAMP '2020-01-01 00:00:00+00' AND id = @id"


def run(endpoints: Endpoints) -> dict[str, Any]:
    """Measure, sample after sample."""
    chance = random.Random(SEED)
    with own_place(endpoints, start="earliest") as place:
        warehouse = connect(place.settings)
        warehouse.ensure(ENGAGEMENT_EVENTS)
        with (
            streaming(endpoints, place, ("relay", "tally", "stage"), RATE),
            psycopg.connect(place.source.writer_dsn, autocommit=True) as writer,
        ):
            seconds = []
            for _ in range(SAMPLES):
                time.sleep(chance.random())  # else each would be committed just after a batch
                (event,) = insert(writer)
                committed = time.monotonic()
                wait_for(lambda event=event: _is_there(warehouse, event), "the event in the warehouse")  # type: ignore[misc]
                seconds.append(time.monotonic() - committed)
    return {
        "samples": SAMPLES,
        "seconds": {"p50": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)},
        "stage every": place.settings.effective_stage_seconds,
    }


def _is_there(warehouse: Warehouse, event: int) -> bool:
    return bool(warehouse.query(ASKED, {"id": event}).column("n")[0].as_py())


def main() -> None:
    """Run against the servers of a state folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".engagement"))
    arguments = parser.parse_args()
    json.dump({"commit to queryable row": run(stack.up(arguments.state_dir))}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
