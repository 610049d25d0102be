"""What it costs that each read of the relay tells its own columns, and what it saves that PostgreSQL keeps its plan.

The read has the event's columns as nulls behind the message (decision 0013), and is planned once a second (decision
0016). It takes turns with the same read without those columns, and with one that is planned anew each time, over the
packaged stream: polls that bring nothing, as an idle relay makes them, reads of ten rows, as at a thousand events a
second, and of 2,000, as one that catches up.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
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
        with open_source(origin) as own, open_source(origin) as short, open_source(origin) as anew:
            _shorten(short)
            sources = {"telling its columns": own, "without": short, "planned anew": anew}
            figures: list[Figure] = []
            for rows, reads in READS.items():
                figures += _compared(sources, rows, reads)
    return figures


def _shorten(source: Source) -> None:
    """Let the reads of a source tell no columns, and nobody ask for them."""
    events, filled = source._events, source._events._statement

    def shortened(last_given: str, rows: int) -> bytes:
        whole = filled(last_given, rows)
        begin, end = whole.index(_COLUMNS), whole.index(_JOIN)
        behind = whole.index(b"\n", whole.index(b"AS typed ON true"))
        return whole[:begin] + whole[begin + len(_COLUMNS) : end] + whole[behind + 1 :]

    events._statement = cache(shortened)  # type: ignore[method-assign]
    events._require = lambda *_: None  # type: ignore[method-assign]


def _compared(sources: Mapping[str, Source], rows: int, reads: int) -> Sequence[Figure]:
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for round_ in range(ROUNDS):
        turns = list(sources.items())
        for name, source in turns if round_ % 2 else reversed(turns):
            seconds[name].append(_seconds(source, rows, reads, is_anew=name == "planned anew") / reads)
    return [
        Figure(f"read of {rows:,} rows, {name}", statistics.median(seconds[name]) * 1_000, "ms") for name in seconds
    ]


def _seconds(source: Source, rows: int, reads: int, *, is_anew: bool) -> float:
    limits = Limits(max(rows, 1), 1 << 30, 1 << 20)
    read = partial(source.read, EVENTS if rows == 0 else EVENTS // 2, [], limits)
    began = time.perf_counter()
    for _ in range(reads):
        if is_anew:
            source._events.expire()
        assert len(read().rows) == rows
    return time.perf_counter() - began
