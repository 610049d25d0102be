"""Redis' latency beside a backfill of 30 days, today included, at 500 events a second through relay, tally and stage.

As in Dagster: runs of seven days, each in a process of its own, two at a time. The month is rebuilt again until the
last minute that is measured was all backfill. Afterwards every day of the table has the source's events.
"""

import math
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local.stack import Endpoints
from engagement_platform.orchestration.warehouse.events import DAYS_IN_ONE_RUN
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.live import latencies, streaming
from engagement_platform_tests.bench.place import Place, fill, own_place
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

DAYS, ROWS_A_DAY = 30, 100_000
RUNS_AT_A_TIME = 2
"""As dagster.yaml limits those with the tag dagster/backfill."""
RATE = 500
MEASURED_SECONDS = 65.0
P50_MS, P99_MS = 30, 120

Days = dict[date, tuple[int, int]]
"""day -> how many events it has, and the sum of their ids."""


def run(endpoints: Endpoints) -> list[Figure]:
    """Measure alone, then beside the backfill; compare the days."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in reversed(range(DAYS))]
    with own_place(endpoints) as place:
        fill(place.source, ROWS_A_DAY, *days)
        with streaming(endpoints, place, ("relay", "tally", "stage"), RATE) as measuring:
            time.sleep(MEASURED_SECONDS)
            alone = measuring.seen.last_minute_ms
            months, rows, seconds = _backfill(place.settings, days)
            beside = measuring.seen.last_minute_ms
            measuring.stop_generator()
            wanted = _in_source(place)
            wait_for(lambda: _count(_in_table(place.settings)) >= _count(wanted), "the last events in the warehouse")
            found = _in_table(place.settings)
    return [
        *latencies("without a backfill", alone),
        *latencies("beside the backfill", beside, P50_MS, P99_MS),
        Figure(f"backfills of {DAYS} days", months),
        Figure("rows rebuilt", rows / seconds, "rows/s"),
        Figure("days that differ from the source", _differences(wanted, found), at_most=0),
    ]


def _backfill(settings: Settings, days: Sequence[date]) -> tuple[int, int, float]:
    """Rebuild the days until enough has been measured; return how often, how many rows that were, and the seconds."""
    began, months, rows = time.monotonic(), 0, 0
    spawn = multiprocessing.get_context("spawn")
    while time.monotonic() < began + MEASURED_SECONDS:
        with ProcessPoolExecutor(RUNS_AT_A_TIME, mp_context=spawn, max_tasks_per_child=1) as pool:
            rows += sum(pool.map(_rebuild, *zip(*_runs(settings, days, months), strict=True)))
        months += 1
    return months, rows, time.monotonic() - began


def _runs(settings: Settings, days: Sequence[date], month: int) -> Iterator[tuple[Settings, Sequence[date], str]]:
    for number in range(math.ceil(len(days) / DAYS_IN_ONE_RUN)):
        first = number * DAYS_IN_ONE_RUN
        yield settings, days[first : first + DAYS_IN_ONE_RUN], f"bench-{month}-{number}"


def _rebuild(settings: Settings, days: Sequence[date], run_id: str) -> int:
    return sum(day.rows for day in rebuild_days(settings, days, run_id))


def _in_source(place: Place) -> Days:
    with psycopg.connect(place.source.writer_dsn, options="-c timezone=UTC") as connection:
        found = connection.execute("SELECT event_ts::date, count(*), sum(id) FROM engagement_events GROUP BY 1")
        return {day: (count, _int(ids)) for day, count, ids in found}


def _in_table(settings: Settings) -> Days:
    warehouse = open_warehouse(settings)
    warehouse.ensure(ENGAGEMENT_EVENTS)
    found = warehouse.query(
        "SELECT DATE(event_ts) AS day, COUNT(DISTINCT id) AS events, SUM(id) AS ids FROM engagement_events "
        "WHERE event_ts >= TIMESTAMP '2020-01-01 00:00:00+00' GROUP BY 1"
    )
    return {row["day"]: (row["events"], _int(row["ids"])) for row in found.to_pylist()}


def _int(number: Decimal | int) -> int:
    return int(number)


def _count(days: Days) -> int:
    return sum(count for count, _ in days.values())


def _differences(wanted: Days, found: Days) -> int:
    return sum(wanted.get(day) != found.get(day) for day in wanted.keys() | found.keys())
