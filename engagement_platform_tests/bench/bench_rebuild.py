"""How fast a day is rebuilt, beside dlt on the same rows: `python -m engagement_platform_tests.bench.bench_rebuild`.

Prints rows per second of both, which alternate, and what memory a day of a million and one of five million rows take.
Uses the servers of a state folder, with databases, topics and a table of its own, which it removes.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from engagement_platform.adapters.kafka.topics import admin, ensure_topics
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.days import bounds
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local import stack
from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream import relay
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.bench import bench_rebuild_dlt
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source

DAY, LONG_DAY = date(2026, 3, 1), date(2026, 3, 2)
ROWS, MANY_ROWS = 1_000_000, 5_000_000
ROUNDS = 2
SEED = 7
FILL = """
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT CASE WHEN random() > 0.004 THEN contents.ids[1 + floor(cardinality(contents.ids) * random() ^ 3)] END,
       CASE WHEN random() > 0.02 THEN md5(floor(50000 * random())::text)::uuid END,
       (ARRAY['play', 'pause', 'finish', 'click'])[1 + floor(4 * random())],
       %(day)s::timestamp AT TIME ZONE 'UTC' + (n - random()) / %(events)s * interval '86399 seconds',
       CASE WHEN random() > 0.3 THEN floor(3600000 * random()) END,
       (ARRAY['ios', 'android', 'web', 'smart-tv', 'car', 'watch 🕶️', NULL])[1 + floor(7 * random() ^ 2)],
       CASE WHEN random() > 0.05 THEN format(
           '{"app": "7.%%s.0", "seq": %%s, "session": "%%s", "offline": false, "position_ms": %%s, "agent": "%%s"}',
           floor(12 * random()), n, md5(floor(200000 * random())::text), floor(3600000 * random()),
           left(%(agent)s, 160 - floor(150 * random())::int))::jsonb END
  FROM generate_series(1, %(events)s) AS n, (SELECT array_agg(id ORDER BY slug) AS ids FROM content) AS contents
"""
AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1 EngagementPlayer/7.12 (build 4711; en-GB)"
)


@dataclass(frozen=True)
class Place:
    """What a benchmark has to itself."""

    source: SourceDatabase
    settings: Settings


@contextmanager
def own_place(endpoints: Endpoints, start: str = "latest") -> Iterator[Place]:
    """Make databases, topics and a folder, ready for the stream; remove them afterwards."""
    names = [make_source(endpoints), make_source(endpoints)]
    source, platform = names[0][1], names[1][1]
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    settings = make_settings(endpoints, source.dsn, platform.writer_dsn, start=start, state_dir=folder)
    try:
        fill_catalogue(source.writer_dsn, SEED)
        ensure_schema(settings)
        ensure_topics(settings)
        yield Place(source, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with admin(settings) as client:
            client.delete_topics([settings.topic, settings.checkpoint_topic, settings.dead_letter_topic])
        with psycopg.connect(endpoints.admin_dsn, autocommit=True) as connection:
            for name, _ in names:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def fill(source: SourceDatabase, events: int, *days: date) -> None:
    """Write events of each day as people make them: a few contents get most of them, values are missing at times.

    Without a journal and without the keys' checks, which only the writing would pay for.
    """
    with psycopg.connect(source.admin_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("ALTER TABLE engagement_events SET UNLOGGED")
        connection.execute("SET session_replication_role = replica")
        for day in days:
            connection.execute(FILL, {"day": day, "events": events, "agent": AGENT})
        connection.execute("VACUUM (ANALYZE) engagement_events")  # else the first reader would mark each row as seen


@dataclass(frozen=True)
class Measured:
    """One load of a day in a process of its own."""

    seconds: float
    peak_mb: int
    """Resident memory of the process at its highest."""
    found: tuple[int, int, str]
    """Rows, milliseconds and seconds in the table."""


def rebuild(settings: Settings, day: date) -> Measured:
    """Rebuild a day into a table of its own."""
    import adbc_driver_postgresql.dbapi  # noqa: F401 - Dagster's processes have these, too, before a run's clock starts
    import deltalake  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    with _folder(settings) as folder:
        to_folder = settings.model_copy(update={"warehouse_uri": str(folder)})
        began = time.perf_counter()
        rebuild_days(to_folder, [day], "bench")
        return _measured(time.perf_counter() - began, folder / "engagement_events")


def load_with_dlt(settings: Settings, day: date) -> Measured:
    """Load a day with dlt into a table of its own."""
    with _folder(settings) as folder:
        begin, end = (moment.isoformat() for moment in bounds(day))
        seconds = bench_rebuild_dlt.load_day(settings.source_dsn.get_secret_value(), begin, end, folder)
        return _measured(seconds, bench_rebuild_dlt.table_of(folder))


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=settings.state_dir) as folder:
        yield Path(folder)


def _measured(seconds: float, table: Path) -> Measured:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # before the look at the table, which takes memory
    return Measured(seconds, kilobytes >> 10, _found(table))


def _found(table: Path) -> tuple[int, int, str]:
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    columns = ["duration_ms", "engagement_seconds"]
    rows = DeltaTable(table).to_pyarrow_dataset().to_table(columns=columns)
    return rows.num_rows, pc.sum(rows["duration_ms"]).as_py(), str(pc.sum(rows["engagement_seconds"]).as_py())


def apart(work: Callable[[Settings, date], Measured], settings: Settings, day: date) -> Measured:
    """Do it in a new process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, settings, day).result()


def run(endpoints: Endpoints) -> dict[str, Any]:
    """Rebuild and load the same day, in turns; then rebuild one with five times as many rows."""
    with own_place(endpoints) as place:
        _prepare(place, ROWS, DAY)
        pairs = [
            (apart(rebuild, place.settings, DAY), apart(load_with_dlt, place.settings, DAY)) for _ in range(ROUNDS)
        ]
    with own_place(endpoints) as place:
        _prepare(place, MANY_ROWS, LONG_DAY)
        long = apart(rebuild, place.settings, LONG_DAY)
    _require_same(pairs, long)
    rebuilt, loaded = zip(*pairs, strict=True)
    return {
        "rebuild": _figures(rebuilt),
        "dlt, pyarrow": _figures(loaded),
        "times dlt": round(_median_seconds(loaded) / _median_seconds(rebuilt), 2),
        "rebuild of a long day": _figures([long]),
    }


def _prepare(place: Place, events: int, day: date) -> None:
    """Write a day's events. The relay begins at the newest and leaves its checkpoint: it has seen all there is."""
    fill(place.source, events, day)
    relay.run(place.settings, Standalone(drain=True))


def _require_same(pairs: list[tuple[Measured, Measured]], long: Measured) -> None:
    tables = {measured.found for pair in pairs for measured in pair}
    if len(tables) != 1 or next(iter(tables))[0] != ROWS or long.found[0] != MANY_ROWS:
        sys.exit(f"The tables differ: {tables}, {long.found}")


def _figures(of: Sequence[Measured]) -> dict[str, float]:
    seconds = _median_seconds(of)
    rows = of[0].found[0]
    return {
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_mb": max(each.peak_mb for each in of),
    }


def _median_seconds(of: Sequence[Measured]) -> float:
    return statistics.median(each.seconds for each in of)


def main() -> None:
    """Run against the servers of a state folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".engagement"))
    arguments = parser.parse_args()
    json.dump({"rebuild of a day": run(stack.up(arguments.state_dir))}, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
