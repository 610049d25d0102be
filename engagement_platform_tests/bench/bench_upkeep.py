"""A month of small appends to Delta Lake. Needs no server.

A month has 518,400 appends. What is reduced: three hours are made in full, 720 appends each, and measured: the first of
all, the fifth, when the log has become as long as it ever is, and the last of the month. Of the hours between, and of
the last day, the files are entered all at once, as links to those of an append, and 719 versions without content
follow. The days between are links to compacted files. Each hour ends with an upkeep, as the schedule does it, and makes
the log's files an hour older, so that the upkeep removes what has become too old. At the end the table has what an
append or a scan has to get past after a month: its files, its log, the removed files of a day. An append is compared
with one after five hours, a scan with one of a table that was given the same files at once.
"""

import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import ParamSpec

from deltalake.transaction import AddAction

from engagement_platform.adapters.warehouse.delta.tables import (
    DERIVED_DAY,
    LOG_KEPT_HOURS,
    Storage,
    open_table,
)
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.domain.days import bounds
from engagement_platform_tests.adapters.warehouse.rows import Row, batch, event
from engagement_platform_tests.adapters.warehouse.support import load
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

APPENDS, ROWS = 720, 500
"""In an hour, and in an append: 100 events a second."""
HOURS, FIRST_HOURS, DAYS_BETWEEN = 24, LOG_KEPT_HOURS + 1, 28
LARGE_FILES = 7
"""Of a day that is over. One more such file, which is small for the upkeep, and the day would be compacted again."""
FIRST = date(2026, 3, 1)
LAST = FIRST + timedelta(days=DAYS_BETWEEN + 1)
BATCHES = 40
"""So many different ones, in turns: the same rows again and again would be compressed to nothing."""
SLOWER = 1.5
"""How many times as long an append or a scan may take after a month."""
SCANS = 5
SCAN = "SELECT SUM(duration_ms) AS ms FROM engagement_events WHERE event_ts >= @begin AND event_ts < @end"
P = ParamSpec("P")


def run() -> list[Figure]:
    """Append, care, ask; return the figures of the hours that were made in full."""
    with tempfile.TemporaryDirectory(prefix="engagement-bench-") as folder:
        return _Month(Path(folder)).figures()


class _Month:
    """A table, and what appends to it."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        storage = Storage(str(folder / "warehouse"))
        self._warehouse = DeltaWarehouse(storage)
        self._warehouse.ensure(ENGAGEMENT_EVENTS)
        self._storage = storage
        self._folder = Path(storage.of(ENGAGEMENT_EVENTS.name))
        self._log = self._folder / "_delta_log"
        (folder / "batches").mkdir(parents=True)
        rows = [_rows(FIRST, number) for number in range(BATCHES)]
        self._milliseconds = sum(row["duration_ms"] for batch_ in rows for row in batch_)
        self._batches = {
            FIRST: [batch(folder / "batches", batch_) for batch_ in rows],
            LAST: [batch(folder / "batches", _rows(LAST, number)) for number in range(BATCHES)],
        }
        self._versions = 0

    def figures(self) -> list[Figure]:
        """Live through the month."""
        empty = self._appends(FIRST)
        small, scan_small = self._files(FIRST), self._scan(APPENDS)
        first_upkeep = self._hour_ends()
        for _ in range(FIRST_HOURS - 2):
            self._hour_by_links(FIRST, small)
        settled = self._appends(FIRST)
        self._hour_ends()
        large = self._files(FIRST)
        for day in range(1, DAYS_BETWEEN + 1):
            self._link(FIRST + timedelta(days=day), list(islice(cycle(large), LARGE_FILES)))
        for rows in self._batches[LAST]:
            self._append(rows)
        small = list(islice(cycle(self._files(LAST)), APPENDS))
        upkeeps = [self._hour_by_links(LAST, small) for _ in range(HOURS - 1)]
        last = self._appends(LAST)
        upkeeps.append(self._hour_ends())
        files, scan_last, scan_at_once = self._files(), self._scan(FIRST_HOURS * APPENDS), self._scan_at_once()
        return [
            Figure("append, p50, into an empty table", _ms(statistics.median(empty)), "ms"),
            *_compared("append, p50", "after five hours", statistics.median(settled), statistics.median(last)),
            *_compared("append, p99", "after five hours", _p99(settled), _p99(last)),
            Figure(f"scan of an hour in {APPENDS} small files", _ms(scan_small), "ms"),
            *_compared("scan of the first day", "same files at once", scan_at_once, scan_last),
            Figure("upkeep, after the first hour", _ms(first_upkeep), "ms"),
            Figure("upkeep, last day, p50", _ms(statistics.median(upkeeps)), "ms"),
            Figure("upkeep, last day, max", _ms(max(upkeeps)), "ms"),
            Figure("files at the end", len(files)),
            Figure("removed files, kept for readers", len(list(self._folder.glob("*/*.parquet"))) - len(files)),
            Figure("entries of the log", len(list(self._log.glob("*.json")))),
        ]

    def _appends(self, day: date) -> list[float]:
        """Append as often as in an hour; return the seconds that each append took."""
        batches = islice(cycle(self._batches[day]), APPENDS)
        return [self._append(rows) for rows in batches]

    def _append(self, rows: Path) -> float:
        self._versions += 1
        return _seconds(self._warehouse.append, load(self._versions), rows)

    def _hour_by_links(self, day: date, files: Sequence[Path]) -> float:
        """Enter files, and as many versions as if each were of its own; return the seconds of the upkeep."""
        self._link(day, files)
        version = open_table(self._storage, ENGAGEMENT_EVENTS.name).version()
        for number in range(version + 1, version + len(files)):
            entry = {"commitInfo": {"timestamp": time.time_ns() // 1_000_000, "operation": "WRITE"}}
            (self._log / f"{number:020}.json").write_text(json.dumps(entry))
        return self._hour_ends()

    def _hour_ends(self) -> float:
        """Let an hour pass for the log; return the seconds that the upkeep takes."""
        for file in self._log.iterdir():
            then = file.stat().st_mtime - 3_600
            os.utime(file, (then, then))
        return _seconds(self._warehouse.upkeep)

    def _files(self, day: date | None = None) -> list[Path]:
        """Return the files that the table's latest version has, of all days or of one."""
        found = open_table(self._storage, ENGAGEMENT_EVENTS.name).file_uris(
            [(DERIVED_DAY, "=", str(day))] if day else None
        )
        return [Path(uri.removeprefix("file://")) for uri in found]

    def _scan_at_once(self) -> float:
        """Return the seconds of the same scan in a new table that is given the same files, a day in one version."""
        other = _Month(self._root / "at once")
        for day in (FIRST + timedelta(days=number) for number in range(DAYS_BETWEEN + 2)):
            other._link(day, self._files(day))
        return other._scan(FIRST_HOURS * APPENDS)

    def _scan(self, appends: int) -> float:
        """Return the median of the seconds that the sum of the first day takes, which so many appends have made."""
        (begin, end), seconds, found = bounds(FIRST), [], set()
        for _ in range(SCANS):
            began = time.perf_counter()
            found.add(self._warehouse.query(SCAN, {"begin": begin, "end": end}).column("ms")[0].as_py())
            seconds.append(time.perf_counter() - began)
        assert found == {appends // BATCHES * self._milliseconds}
        return statistics.median(seconds)

    def _link(self, day: date, files: Sequence[Path]) -> None:
        """Enter links to files as files of a day, all in one version."""
        handle = open_table(self._storage, ENGAGEMENT_EVENTS.name)
        handle.create_write_transaction(
            [self._linked(day, file) for file in files],
            mode="append",
            schema=handle.schema(),
            partition_by=handle.metadata().partition_columns,
        )

    def _linked(self, day: date, file: Path) -> AddAction:
        partition = f"{DERIVED_DAY}={day}"
        (self._folder / partition).mkdir(exist_ok=True)
        name = f"{partition}/part-{uuid.uuid4()}.parquet"
        os.link(file, self._folder / name)
        moments = {"event_ts": f"{day}T12:00:00Z"}
        statistics_ = {"numRecords": ROWS, "minValues": moments, "maxValues": moments, "nullCount": {"event_ts": 0}}
        return AddAction(
            path=name,
            size=file.stat().st_size,
            partition_values={DERIVED_DAY: day.isoformat()},
            modification_time=time.time_ns() // 1_000_000,
            data_change=True,
            stats=json.dumps(statistics_),
        )


def _rows(day: date, number: int) -> list[Row]:
    """Return a batch as different in itself as people's events are."""
    draw = Random(number)
    return [
        event(
            number * ROWS + n,
            day,
            content_id=str(uuid.UUID(int=draw.getrandbits(11), version=4)),
            user_id=str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            duration_ms=draw.randrange(3_600_000),
            raw_payload=json.dumps({"session": draw.randbytes(16).hex(), "position_ms": draw.randrange(3_600_000)}),
        )
        for n in range(ROWS)
    ]


def _compared(what: str, before: str, first: float, last: float) -> list[Figure]:
    return [
        Figure(f"{what}, {before}", _ms(first), "ms"),
        Figure(f"{what}, after a month", _ms(last), "ms", at_most=_ms(SLOWER * first)),
    ]


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


def _seconds(act: Callable[P, object], *what: P.args, **how: P.kwargs) -> float:
    began = time.perf_counter()
    act(*what, **how)
    return time.perf_counter() - began


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 1)
