"""What a loop tells of itself: every counter, gauge and histogram, declared once, and their values at one moment.

A loop counts (`stream.progress`), its heartbeat keeps the values as JSON in the platform's database, and whoever reads
them there gets them typed: status, materializations, reports and metrics are readers of the same thing. Base units are
seconds and bytes. A reader of another version takes the figures that it knows: one that is missing is 0, or unknown.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engagement_platform.domain import latency, loop_state
from engagement_platform.domain.latency import Latencies
from engagement_platform.domain.loop_state import LoopState


@dataclass(frozen=True, slots=True)
class _Figure:
    name: str
    unit: str
    meaning: str


class Counter(_Figure):
    """A number that only grows while a run lasts."""


class Gauge(_Figure):
    """A number that goes up and down; unknown when the loop does not tell it."""


class Distribution(_Figure):
    """Latencies, of which there are only ever more while a run lasts."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    name: str
    words: tuple[str, ...]
    meaning: str


EVENTS = Counter("events", "events", "Events handled: published, counted, loaded or delivered, or given up.")
BYTES = Counter("bytes", "bytes", "Bytes of the messages of those events.")
BATCHES = Counter(
    "batches",
    "batches",
    "relay: transactions with events; tally: batches that Redis counted; stage: batches in the warehouse.",
)
ROWS = Counter("rows", "events", "stage: events in the warehouse, without those that a rebuilt day had already.")
REJECTED = Counter("rejected", "messages", "relay, stage, forward: what was given up as it is no event of the stream.")
UNREADABLE = Counter("unreadable", "messages", "tally: messages that are no events, so that they are not counted.")
DUPLICATES = Counter(
    "duplicates", "messages", "tally, stage, forward: messages left out, as their publisher had published them before."
)
LATE = Counter("late", "events", "tally: events that had left the window when they came.")
FUTURE = Counter("future", "events", "tally: events whose time lies too far ahead.")
REFUSED = Counter("refused", "batches", "tally: batches that Redis did not take, as its offsets were others.")
REQUESTS = Counter("requests", "requests", "forward: requests to the partner.")
RETRIES = Counter("retries", "requests", "forward: those that were made again.")
FAILED = Counter("failed", "requests", "forward: those that failed, so that they are to be made again.")
DECLINED = Counter("declined", "requests", "forward: those that the partner answered with a refusal.")
HALVED = Counter("halved", "requests", "forward: arrays that were halved to find the event that is meant.")
DEAD_LETTERS = Counter("dead_letters", "events", "forward: events that the partner did not take.")
UNRECORDED = Counter("unrecorded", "requests", "forward: requests that were left out of the record of deliveries.")
COUNTERS = (
    EVENTS, BYTES, BATCHES, ROWS, REJECTED, UNREADABLE, DUPLICATES, LATE, FUTURE, REFUSED, REQUESTS, RETRIES, FAILED,
    DECLINED, HALVED, DEAD_LETTERS, UNRECORDED,
)  # fmt: skip

LAG = Gauge("lag", "events", "Events that wait; unknown where nobody can tell.")
OPEN_IDS = Gauge("open_ids", "ids", "relay: ids that it has passed and that may still be committed.")
IN_FLIGHT = Gauge("in_flight", "requests", "forward: requests under way.")
BEHIND = Gauge(
    "behind", "seconds", "tally: how long ago, at most, what it counted last was committed; 0 while nothing waits."
)
OFFERED = Gauge(
    "offered", "events/s", "What came in, over about ten seconds: what was done, and by how much more waits."
)
DONE = Gauge("done", "events/s", "Events handled, over about ten seconds.")
SHARE = Gauge("share", "of 1", "stage, forward: the part of its time that it may use; below 1 while Redis is behind.")
AS_OF = Gauge(
    "as_of",
    "seconds since 1970",
    "As of when everything is where the loop brings it. It advances without events, too, while nothing waits.",
)
TABLE_ROWS = Gauge("table_rows", "events", "stage: rows of the warehouse's table, about once a minute.")
TABLE_FILES = Gauge("table_files", "files", "stage: files of the warehouse's table, where it has such.")
TABLE_BYTES = Gauge("table_bytes", "bytes", "stage: size of the warehouse's table.")
GAUGES = (
    LAG, OPEN_IDS, IN_FLIGHT, BEHIND, OFFERED, DONE, SHARE, AS_OF, TABLE_ROWS, TABLE_FILES, TABLE_BYTES,
)  # fmt: skip

BREAKER = Choice("breaker", ("closed", "open", "probing"), "forward: what the circuit breaker lets through.")
CHOICES = (BREAKER,)

LATENCY = Distribution(
    "latency", "seconds", "From the commit of an event (an upper bound) to the loop's effect; since the run began."
)
RECENT_LATENCY = Distribution("recent_latency", "seconds", "The same of about the last minute.")

STATE = "state"


@dataclass(frozen=True, slots=True)
class Figures:
    """The values at one moment. What is not there was never told."""

    counters: Mapping[Counter, int] = field(default_factory=dict)
    gauges: Mapping[Gauge, float] = field(default_factory=dict)
    choices: Mapping[Choice, str] = field(default_factory=dict)
    latency: Latencies = field(default_factory=Latencies)
    recent_latency: Latencies = field(default_factory=Latencies)
    state: LoopState | None = None

    def count(self, counter: Counter) -> int:
        """Return the value of a counter."""
        return self.counters.get(counter, 0)

    def gauge(self, gauge: Gauge) -> float | None:
        """Return the value of a gauge; None while it is not known."""
        return self.gauges.get(gauge)


def to_object(figures: Figures) -> dict[str, Any]:
    """Return figures as the platform database keeps them."""
    return {
        **{figure.name: number for figure, number in figures.counters.items()},
        **{figure.name: number for figure, number in figures.gauges.items()},
        **{figure.name: word for figure, word in figures.choices.items()},
        LATENCY.name: latency.to_object(figures.latency),
        RECENT_LATENCY.name: latency.to_object(figures.recent_latency),
        STATE: None if figures.state is None else loop_state.to_object(figures.state),
    }


def from_object(kept: Mapping[str, Any]) -> Figures:
    """Return figures as they were kept, as far as this version knows them."""
    counters = {figure: kept[figure.name] for figure in COUNTERS if _is_count(kept.get(figure.name))}
    gauges = {figure: kept[figure.name] for figure in GAUGES if _is_number(kept.get(figure.name))}
    choices = {figure: kept[figure.name] for figure in CHOICES if kept.get(figure.name) in figure.words}
    return Figures(
        counters,
        gauges,
        choices,
        latency.from_object(kept.get(LATENCY.name)),
        latency.from_object(kept.get(RECENT_LATENCY.name)),
        loop_state.from_object(kept.get(STATE)),
    )


def total(runs: Iterable[Figures]) -> Figures:
    """Return what several runs of a loop have done together, in the order of time: the last one says how it stands."""
    all_together = Figures()
    for run in runs:
        sums = {figure: all_together.count(figure) + run.count(figure) for figure in COUNTERS}
        all_together = Figures(
            {figure: number for figure, number in sums.items() if number},
            run.gauges,
            run.choices,
            all_together.latency + run.latency,
            run.recent_latency,
            run.state,
        )
    return all_together


def together(shards: Sequence[Figures]) -> Figures:
    """Return how the shards of a loop stand together. Of a single one, how it stands.

    A sum is not known where one of its parts is not. What waits for one shard, or is as of an earlier time there, is so
    for the whole; and so is the state of the one that is worst off. One that has nothing to do tells nothing of it.
    """
    if len(shards) == 1:
        return shards[0]
    sums = total(shards)
    gauges: dict[Gauge, float] = {}
    busy = [one for one in shards if one.state is None or one.state.kind is not loop_state.Activity.IDLE] or shards
    for gauge in GAUGES:
        told = [value for one in busy if (value := one.gauge(gauge)) is not None]
        if told and (len(told) == len(busy) or gauge not in _KNOWN_OF_ALL):
            gauges[gauge] = _COMBINED.get(gauge, max)(told)
    words = [one.choices[BREAKER] for one in shards if BREAKER in one.choices]
    latest = Latencies()
    for one in shards:
        latest += one.recent_latency
    states = [one.state for one in shards if one.state is not None]
    return Figures(
        sums.counters,
        gauges,
        {BREAKER: max(words, key=_BREAKER_BY_CONCERN.index)} if words else {},
        sums.latency,
        latest,
        loop_state.worst(states) if states else None,
    )


_KNOWN_OF_ALL = frozenset({LAG, AS_OF})
"""What is not known of the whole while it is not known of one shard."""
_COMBINED: Mapping[Gauge, Callable[[list[float]], float]] = {
    LAG: sum, OPEN_IDS: sum, IN_FLIGHT: sum, OFFERED: sum, DONE: sum, SHARE: min, AS_OF: min,
}  # fmt: skip
_BREAKER_BY_CONCERN = ("closed", "probing", "open")


def since(present: Figures, earlier: Figures) -> Figures:
    """Return what a run has done since an earlier moment of it. One that counts less than then has begun anew."""
    if any(present.count(figure) < number for figure, number in earlier.counters.items()):
        return present
    counters = {figure: number - earlier.count(figure) for figure, number in present.counters.items()}
    return replace(
        present,
        counters={figure: number for figure, number in counters.items() if number},
        latency=present.latency - earlier.latency,
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
