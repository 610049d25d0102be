"""How fast a day is rebuilt, beside dlt on the same rows.

Gives rows per second of both, which alternate, rows per CPU second of the process that reads and writes, and what
memory a day of a million and one of five million rows take. What PostgreSQL takes to answer is no part of a process's
CPU seconds, its own or dlt's: it is given beside them, for both.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psutil
import psycopg

from engagement_platform.domain.days import bounds
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.bench import bench_rebuild_dlt
from engagement_platform_tests.bench.bench_rebuild_dlt import Took, cpu_seconds
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.peers.usage import tree_seconds
from engagement_platform_tests.bench.place import Place, apart, fill, own_place

DAY, LONG_DAY = date(2026, 3, 1), date(2026, 3, 2)
ROWS, MANY_ROWS = 1_000_000, 5_000_000
ROUNDS = 2
ROWS_PER_SECOND, TIMES_DLT = 200_000, 3
CPU_TIMES_DLT = 5


@dataclass(frozen=True)
class Measured:
    """One load of a day in a process of its own."""

    seconds: float
    cpu_seconds: float
    """Of the process, of its threads and of what it started, in those seconds."""
    peak_mb: int
    """Resident memory of the process at its highest."""
    found: tuple[int, int, str]
    """Rows, milliseconds and seconds in the table."""
    server_seconds: float = 0.0
    """CPU seconds that PostgreSQL took meanwhile, with its sessions and background writers."""


def rebuild(settings: Settings, day: date) -> Measured:
    """Rebuild a day into a table of its own."""
    import adbc_driver_postgresql.dbapi  # noqa: F401 - Dagster's processes have these, too, before a run's clock starts
    import deltalake  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    import engagement_platform.adapters.warehouse.delta.queries
    import engagement_platform.adapters.warehouse.delta.warehouse  # noqa: F401

    with _folder(settings) as folder:
        to_folder = settings.replace(warehouse_uri=str(folder))
        began, used = time.perf_counter(), cpu_seconds()
        rebuild_days(to_folder, [day], "bench")
        took = Took(time.perf_counter() - began, cpu_seconds() - used)
        return _measured(took, folder / "engagement_events")


def load_with_dlt(settings: Settings, day: date) -> Measured:
    """Load a day with dlt into a table of its own."""
    with _folder(settings) as folder:
        begin, end = (moment.isoformat() for moment in bounds(day))
        took = bench_rebuild_dlt.load_day(settings.source.dsn.get_secret_value(), begin, end, folder)
        return _measured(took, bench_rebuild_dlt.table_of(folder))


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=settings.state_dir) as folder:
        yield Path(folder)


def _measured(took: Took, table: Path) -> Measured:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # before the look at the table, which takes memory
    return Measured(took.seconds, took.cpu_seconds, kilobytes >> 10, _found(table))


def _found(table: Path) -> tuple[int, int, str]:
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    columns = ["duration_ms", "engagement_seconds"]
    rows = DeltaTable(table).to_pyarrow_dataset().to_table(columns=columns)
    return rows.num_rows, pc.sum(rows["duration_ms"]).as_py(), str(pc.sum(rows["engagement_seconds"]).as_py())


def run(endpoints: Endpoints) -> list[Figure]:
    """Rebuild and load the same day, in turns; then rebuild one with five times as many rows."""
    with own_place(endpoints) as place:
        prepare(place, ROWS, DAY)
        pairs = [
            (_beside_server(rebuild, place.settings), _beside_server(load_with_dlt, place.settings))
            for _ in range(ROUNDS)
        ]
    with own_place(endpoints) as place:
        prepare(place, MANY_ROWS, LONG_DAY)
        long = apart(rebuild, place.settings, LONG_DAY)
    tables = {measured.found for pair in pairs for measured in pair}
    assert [rows for rows, *_ in tables] == [ROWS], f"what was loaded differs: {tables}"
    assert long.found[0] == MANY_ROWS
    rebuilt, loaded = zip(*pairs, strict=True)
    return [
        Figure("rebuild of a day of 1,000,000", ROWS / _seconds(rebuilt), "rows/s", at_least=ROWS_PER_SECOND),
        Figure("dlt, pyarrow, the same day", ROWS / _seconds(loaded), "rows/s"),
        Figure("rebuild, beside dlt", _seconds(loaded) / _seconds(rebuilt), "times", at_least=TIMES_DLT),
        Figure("rebuild of a day of 5,000,000", MANY_ROWS / long.seconds, "rows/s", at_least=ROWS_PER_SECOND),
        Figure("rebuild", ROWS / _cpu(rebuilt), "rows/CPU s"),
        Figure("dlt", ROWS / _cpu(loaded), "rows/CPU s"),
        Figure("rebuild, beside dlt", _cpu(loaded) / _cpu(rebuilt), "times per CPU s", at_least=CPU_TIMES_DLT),
        Figure("PostgreSQL, for the rebuild", _server(rebuilt), "CPU s beside it"),
        Figure("PostgreSQL, for dlt", _server(loaded), "CPU s beside it"),
        Figure("peak memory, 1,000,000", _peak(rebuilt), "MB"),
        Figure("peak memory, 5,000,000", long.peak_mb, "MB"),
        Figure("peak memory, dlt", _peak(loaded), "MB"),
    ]


def prepare(place: Place, events: int, day: date) -> None:
    """Write a day's events. The relay begins at the newest and leaves its checkpoint: it has seen all there is."""
    fill(place.source, events, day)
    relay.run(place.settings, Standalone(drain=True))


def _beside_server(load: Callable[[Settings, date], Measured], settings: Settings) -> Measured:
    """Load the day in a process of its own, and say what the server took meanwhile."""
    with psycopg.connect(settings.source.dsn.get_secret_value()) as connection:
        server = psutil.Process(connection.info.backend_pid).ppid()
    before = tree_seconds(server)
    measured = apart(load, settings, DAY)
    return replace(measured, server_seconds=tree_seconds(server) - before)


def _cpu(of: Sequence[Measured]) -> float:
    return statistics.median(each.cpu_seconds for each in of)


def _server(of: Sequence[Measured]) -> float:
    return statistics.median(each.server_seconds for each in of)


def _seconds(of: Sequence[Measured]) -> float:
    return statistics.median(each.seconds for each in of)


def _peak(of: Sequence[Measured]) -> int:
    return max(each.peak_mb for each in of)
