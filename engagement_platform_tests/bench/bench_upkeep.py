"""A month of small appends to Delta Lake. Needs no server.

What is reduced, since a month has 518,400 appends: the first hour and the last four are made in full, 720 appends each.
The files of the other hours of the last day are entered 720 at a time, as links to files of an append, and the files of
the days between as links to a compacted one; each hour ends with an upkeep, as the schedule does it. So at the end the
table is as large in files as after a month, its log holds the entries of the hours for which they are kept and the
removed files of a whole day: what an append and a scan have to get past. A batch is of 500 rows, 100 events a second.
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
    Place,
    open_table,
)
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.domain.table import ENGAGEMENT_EVENTS
from engagement_platform_tests.adapters.warehouse.rows import Row, batch, event
from engagement_platform_tests.adapters.warehouse.support import load
from engagement_platform_tests.bench.figures import Figure

HOURS, DAYS_BETWEEN, APPENDS, ROWS = 24, 28, 720, 500
FIRST = date(2026, 3, 1)
LAST = FIRST + timedelta(days=DAYS_BETWEEN + 1)
BATCHES = 40
"""So many different ones, in turns: the same rows again and again would be compressed to nothing."""
SLOWER = 2
"""How many times as long an append or a scan may take after a month."""
SCANS = 5
SCAN = "SELECT SUM(duration_ms) AS ms FROM engagement_events WHERE DATE(event_ts) = @day"
P = ParamSpec("P")


def run() -> list[Figure]:
    """Append, care, ask; return the figures of the first and of the last hour."""
    with tempfile.TemporaryDirectory(prefix="engagement-bench-") as folder:
        return _Month(Path(folder)).figures()


class _Month:
    """A table, and what appends to it."""

    def __init__(self, folder: Path) -> None:
        place = Place(str(folder / "warehouse"))
        self._warehouse = DeltaWarehouse(place)
        self._warehouse.ensure(ENGAGEMENT_EVENTS)
        self._place = place
        self._folder = Path(place.of(ENGAGEMENT_EVENTS.name))
        (folder / "batches").mkdir()
        rows = [_rows(FIRST, number) for number in range(BATCHES)]
        self._milliseconds = sum(row["duration_ms"] for batch_ in rows for row in batch_)
        self._batches = {
            FIRST: [batch(folder / "batches", batch_) for batch_ in rows],
            LAST: [batch(folder / "batches", _rows(LAST, number)) for number in range(BATCHES)],
        }
        self._versions = 0

    def figures(self) -> list[Figure]:
        """Live through the month."""
        first_appends = self._hour(FIRST)
        small, scan_small = self._files(), self._scan()
        first_upkeep = _seconds(self._warehouse.upkeep)
        large, scan_first = self._files(), self._scan()
        for day in range(1, DAYS_BETWEEN + 1):
            self._link(FIRST + timedelta(days=day), list(islice(cycle(large), HOURS)))
        upkeeps = [self._hour_by_links(small) for _ in range(HOURS - LOG_KEPT_HOURS)]
        for _ in range(LOG_KEPT_HOURS):
            last_appends = self._hour(LAST)
            upkeeps.append(_seconds(self._warehouse.upkeep))
        scan_last, files = self._scan(), self._files()
        return [
            *_compared("append, p50", statistics.median(first_appends), statistics.median(last_appends)),
            *_compared("append, p99", _p99(first_appends), _p99(last_appends)),
            *_compared("scan of the first day", scan_first, scan_last),
            Figure(f"the same, in {len(small)} small files", _ms(scan_small), "ms"),
            Figure("upkeep, after the first hour", _ms(first_upkeep), "ms"),
            Figure("upkeep, last day, p50", _ms(statistics.median(upkeeps)), "ms"),
            Figure("upkeep, last day, max", _ms(max(upkeeps)), "ms"),
            Figure("files at the end", len(files)),
            Figure("removed files, kept for readers", len(list(self._folder.glob("*/*.parquet"))) - len(files)),
            Figure("entries of the log", len(list((self._folder / "_delta_log").glob("*.json")))),
        ]

    def _hour(self, day: date) -> list[float]:
        """Append as often as in an hour; return the seconds that each append took."""
        batches = islice(cycle(self._batches[day]), APPENDS)
        return [self._append(rows) for rows in batches]

    def _append(self, rows: Path) -> float:
        self._versions += 1
        return _seconds(self._warehouse.append, load(self._versions), rows)

    def _hour_by_links(self, files: Sequence[Path]) -> float:
        self._link(LAST, files)
        return _seconds(self._warehouse.upkeep)

    def _files(self) -> list[Path]:
        """Return the files that the table's latest version has."""
        return [
            Path(uri.removeprefix("file://")) for uri in open_table(self._place, ENGAGEMENT_EVENTS.name).file_uris()
        ]

    def _scan(self) -> float:
        """Return the median of the seconds that the first day takes to be summed up, which gives the same each time."""
        seconds, found = [], set()
        for _ in range(SCANS):
            began = time.perf_counter()
            found.add(self._warehouse.query(SCAN, {"day": FIRST}).column("ms")[0].as_py())
            seconds.append(time.perf_counter() - began)
        assert found == {APPENDS // BATCHES * self._milliseconds}
        return statistics.median(seconds)

    def _link(self, day: date, files: Sequence[Path]) -> None:
        """Enter links to files as files of a day, all in one version."""
        handle = open_table(self._place, ENGAGEMENT_EVENTS.name)
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


def _compared(what: str, first: float, last: float) -> list[Figure]:
    return [
        Figure(f"{what}, at first", _ms(first), "ms"),
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
