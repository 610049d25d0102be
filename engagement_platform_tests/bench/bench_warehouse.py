"""Commit to queryable row: 500 events a second through relay, tally and stage into Delta Lake.

A few times a second an event of our own is committed; the warehouse's own queries ask for those that have come.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import psycopg

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform.domain.days import bounds
from engagement_platform.local.demo.visibility import Latencies
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies, streaming
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import write

RATE = 500
SAMPLES, BETWEEN_SECONDS = 250, 0.27
"""Not a divisor of the stage's 5 seconds: samples fall on every part of it."""
LOOK_SECONDS = 0.1
MAX_SECONDS = 10
MARK = "of the benchmark"
ASKED = "SELECT id FROM engagement_events WHERE event_ts >= @begin AND device = @mark"


def run(endpoints: Endpoints) -> list[Figure]:
    """Write and ask until every sample has been found."""
    with own_place(endpoints, start="earliest") as place:
        warehouse = open_warehouse(place.settings)
        warehouse.ensure(ENGAGEMENT_EVENTS)
        with streaming(endpoints, place, ("relay", "tally", "stage"), RATE) as measuring:
            seen = _measured(place, warehouse)
            redis = measuring.seen.last_minute_ms
    return [
        Figure("samples", seen.count),
        *(
            Figure(f"commit to queryable row, {name}", (seen.quantile(share) or 0) / 1_000, "s", at_most=MAX_SECONDS)
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        ),
        Figure("the stage's batches, every", place.settings.effective_stage_seconds, "s"),
        *latencies("beside it", redis),
    ]


def _measured(place: Place, warehouse: Warehouse) -> Latencies:
    seen, day = Latencies(), datetime.now(UTC).date()
    with _samples(place, day) as committed:
        open_ids: dict[int, float] = {}
        found: set[int] = set()

        def all_are_found() -> bool:
            new = _marked(warehouse, day) - found
            now = time.monotonic()
            open_ids.update(committed)
            for each in new & open_ids.keys():  # one whose commit has not been noted yet is found again
                seen.add(1_000 * (now - open_ids[each]))
                found.add(each)
            time.sleep(LOOK_SECONDS)
            return len(found) == SAMPLES

        wait_for(all_are_found, "all samples in the warehouse", SAMPLES * BETWEEN_SECONDS + 60)
    return seen


@contextmanager
def _samples(place: Place, day: date) -> Iterator[dict[int, float]]:
    """Write samples from a thread while the block runs; give ids and when their commits had returned, as they come."""
    committed: dict[int, float] = {}
    ended = threading.Event()

    def commit() -> None:
        with psycopg.connect(place.source.writer_dsn, autocommit=True) as writer:
            for _ in range(SAMPLES):
                (event,) = write(writer, 1, day, device=MARK)
                committed[event] = time.monotonic()
                if ended.wait(BETWEEN_SECONDS):
                    return

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        yield committed
    finally:
        ended.set()
        thread.join()


def _marked(warehouse: Warehouse, day: date) -> set[int]:
    return set(warehouse.query(ASKED, {"begin": bounds(day)[0], "mark": MARK}).column("id").to_pylist())
