"""The figures, from what was observed: pure functions and the values they return."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

MILLION = 1_000_000
SHARES = (*(n / 200 for n in range(1, 200)), 0.999, 1.0)
"""The quantiles that a plot is drawn of."""


@dataclass(frozen=True)
class Note:
    """A transaction of the generator: when its commit had returned, and the ids it brought."""

    committed_ns: int
    """Nanoseconds since 1970."""
    ids: Sequence[int]


@dataclass(frozen=True)
class Window:
    """The time that is measured, in nanoseconds since 1970."""

    begin_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_ns - self.begin_ns) / 1e9


@dataclass(frozen=True)
class Streamed:
    """What a relay did with a steady load."""

    name: str
    seconds: float
    events: int
    """Committed within the window."""
    p50: float
    p95: float
    p99: float
    largest: float
    """Milliseconds from the return of the commit until a reader of committed records has the event."""
    quantiles: Sequence[float]
    """The latencies of SHARES, for plots."""
    missed: int
    """Committed while the relay ran, from the first event to the last, and never published."""
    doubled: int
    """Records beyond the first of an event."""
    cpu: Mapping[str, float]
    """Part -> CPU seconds per million events. `relay` is what is measured, whatever it is."""

    @property
    def total_cpu(self) -> float:
        """CPU seconds per million events of the relay and the two servers together."""
        return sum(self.cpu.get(part, 0.0) for part in COSTS)


RELAY, KAFKA, POSTGRES, GENERATOR, READER = "relay", "Kafka", "PostgreSQL", "generator", "reader"
COSTS = (RELAY, KAFKA, POSTGRES)
"""What a relay costs; the generator and the reader are the bench's own."""


@dataclass(frozen=True)
class CaughtUp:
    """What a relay did with rows that waited when it started."""

    name: str
    events: int
    rate: float
    """Events a second from the first committed record to the last."""
    rate_with_start: float
    """Events a second from the start of the relay's process to the last committed record."""
    missed: int
    doubled: int
    cpu: Mapping[str, float]
    """Part -> CPU seconds, the relay's start included."""


@dataclass(frozen=True)
class Rebuilt:
    """What a tool did with a day's rows."""

    name: str
    rows: int
    seconds: float
    cpu_seconds: float
    """Of the tool's processes."""
    peak_mb: int

    @property
    def rows_per_cpu_second(self) -> float:
        """What is compared."""
        return self.rows / self.cpu_seconds


class NotToBeHad(Exception):
    """A peer cannot be installed, or does not run here; the text says why."""


class NothingSeen(Exception):
    """Of the events that were committed in the window the reader has none: there is nothing to report."""


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that a share of all do not exceed."""
    return ascending[max(math.ceil(share * len(ascending)), 1) - 1]


def latencies_ms(notes: Iterable[Note], readable: Mapping[int, int], window: Window) -> list[float]:
    """Return the latencies of the events committed within the window that were published, ascending.

    `readable` has for each id when the reader had its first record, in nanoseconds since 1970. The commit becomes
    visible a moment before the client knows of its return, so a latency can be negative; it counts as none.
    """
    return sorted(
        max(readable[event_id] - note.committed_ns, 0) / 1e6
        for note in notes
        if window.begin_ns <= note.committed_ns < window.end_ns
        for event_id in note.ids
        if event_id in readable
    )


def first_seen(sightings: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return id -> time of its first record, from (id, time) in the order of reading."""
    readable: dict[int, int] = {}
    for event_id, at_ns in sightings:
        readable.setdefault(event_id, at_ns)
    return readable


def doubled(ids: Iterable[int]) -> int:
    """Return how many records there are beyond the first of each event."""
    return sum(times - 1 for times in Counter(ids).values())


def streamed(
    name: str,
    notes: Sequence[Note],
    sightings: Sequence[tuple[int, int]],
    window: Window,
    cpu: Mapping[str, float],
) -> Streamed:
    """Return the figures of a steady load. `cpu` is what each part took within the window, in seconds.

    Raises NothingSeen.
    """
    readable = first_seen(sightings)
    latencies = latencies_ms(notes, readable, window)
    if not latencies:
        raise NothingSeen(f"{name} published no event that was committed in the {window.seconds:.0f} s measured.")
    events = sum(len(note.ids) for note in notes if window.begin_ns <= note.committed_ns < window.end_ns)
    return Streamed(
        name=name,
        seconds=window.seconds,
        events=events,
        p50=quantile(latencies, 0.5),
        p95=quantile(latencies, 0.95),
        p99=quantile(latencies, 0.99),
        largest=latencies[-1],
        quantiles=[round(quantile(latencies, share), 2) for share in SHARES],
        missed=len({event_id for note in notes for event_id in note.ids} - readable.keys()),
        doubled=doubled(event_id for event_id, _ in sightings),
        cpu={part: seconds / events * MILLION for part, seconds in cpu.items()},
    )


@dataclass(frozen=True)
class Ends:
    """How many offsets of a topic were committed at a time, in seconds; markers of transactions count, too."""

    at: float
    committed: int


def caught_up(samples: Sequence[Ends], events: int, quiet_seconds: float) -> bool:
    """Say whether all events are there, and nothing has come for a while."""
    return samples[-1].committed >= events and samples[-1].at - last_change(samples) >= quiet_seconds


def last_change(samples: Sequence[Ends]) -> float:
    """Return when the last that came was first seen."""
    return next(one.at for one in samples if one.committed == samples[-1].committed)


def rates(samples: Sequence[Ends], events: int, began: float) -> tuple[float, float]:
    """Return events a second from the first committed record, and from the start of the process, to the last one."""
    first = next(one.at for one in samples if one.committed)
    last = last_change(samples)
    return events / max(last - first, 1e-9), events / max(last - began, 1e-9)


def as_data(value: Streamed | CaughtUp | Rebuilt) -> dict[str, Any]:
    """Return a result as a report has it, rounded to what it is worth."""
    return {name: _rounded(one) for name, one in asdict(value).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 2) if isinstance(value, float) else value
