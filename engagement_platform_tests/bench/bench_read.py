"""What it costs that each read of the relay tells its own columns, beside the same read without that.

The read has the event's columns as nulls behind the message (decision 0013), which PostgreSQL plans with each read.
Both forms take turns, over the packaged stream: polls that bring nothing, as an idle relay makes them, reads of ten
rows, as at a thousand events a second, and of 2,000, as one that catches up.
"""

import statistics
import time
from collections.abc import Sequence
from datetime import date
from functools import cache, partial

from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import Source, open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import fill, own_place

EVENTS = 100_000
ROUNDS = 9
READS = {0: 400, 10: 400, 2_000: 25}
"""Rows of a read -> reads in a round."""
_COLUMNS = b",\n       typed.*"
_JOIN = b"  LEFT JOIN (SELECT * FROM ("


def run(endpoints: Endpoints) -> list[Figure]:
    """Measure both, in turns."""
    with own_place(endpoints) as place:
        fill(place.source, EVENTS, date(2026, 3, 1))
        origin = origin_of(place.settings)
        with open_source(origin) as own, open_source(origin) as short:
            _shorten(short)
            figures: list[Figure] = []
            for rows, reads in READS.items():
                figures += _compared(own, short, rows, reads)
    return figures


def _shorten(source: Source) -> None:
    """Let the reads of a source tell no columns, and nobody ask for them."""
    events, filled = source._events, source._events._statement

    def shortened(last_given: str) -> bytes:
        whole = filled(last_given)
        begin, end = whole.index(_COLUMNS), whole.index(_JOIN)
        behind = whole.index(b"\n", whole.index(b"AS typed ON true"))
        return whole[:begin] + whole[begin + len(_COLUMNS) : end] + whole[behind + 1 :]

    events._statement = cache(shortened)  # type: ignore[method-assign]
    events._require = lambda *_: None  # type: ignore[method-assign]


def _compared(own: Source, short: Source, rows: int, reads: int) -> Sequence[Figure]:
    seconds: dict[str, list[float]] = {"own": [], "short": []}
    for round_ in range(ROUNDS):
        turns = [("own", own), ("short", short)]
        for name, source in turns if round_ % 2 else reversed(turns):
            seconds[name].append(_seconds(source, rows, reads) / reads)
    whole, without = (statistics.median(seconds[name]) * 1_000 for name in ("own", "short"))
    what = f"read of {rows:,} rows"
    return [
        Figure(f"{what}, telling its columns", whole, "ms"),
        Figure(f"{what}, without", without, "ms"),
        Figure(f"{what}: more by", (whole / without - 1) * 100, "%"),
    ]


def _seconds(source: Source, rows: int, reads: int) -> float:
    limits = Limits(max(rows, 1), 1 << 30, 1 << 20)
    read = partial(source.read, EVENTS if rows == 0 else EVENTS // 2, [], limits)
    began = time.perf_counter()
    for _ in range(reads):
        assert len(read().rows) == rows
    return time.perf_counter() - began
