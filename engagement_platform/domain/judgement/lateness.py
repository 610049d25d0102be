"""What arrives later than promised: a loop that is behind, and a stream of which more comes than it can do."""

from collections.abc import Iterator, Sequence

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.judgement.consequences import events_wait
from engagement_platform.domain.judgement.standing import Expected, Standing
from engagement_platform.domain.latency import ENOUGH_EVENTS
from engagement_platform.domain.loop_state import Activity, clock
from engagement_platform.domain.progress import AS_OF, BEHIND, DONE
from engagement_platform.domain.status import LoopStatus, overload_in_words

_QUANTILE = 0.99
"""The share of the last minute's events that has to arrive as promised."""

_CLOCKS_APART = 10.0
"""By how many seconds the clocks may differ by which the age of what waits is known."""


def late(standing: Standing, still: Sequence[Expected]) -> Iterator[Condition]:
    """Yield what passes, but later than promised. Of a saturated stream that is said once, of a drained one never."""
    if not standing.is_kept_alive:
        return
    at_work = [loop for loop in standing.expected if loop not in still and loop.name in standing.loops]
    statuses = [standing.loops[loop.name] for loop in standing.expected if loop.name in standing.loops]
    saturated = next((loop for loop in at_work if _is_saturated(standing.loops[loop.name])), None)
    overload = overload_in_words(statuses)
    if saturated is not None and overload is not None:
        yield _saturated(standing, saturated, overload)
    for loop in at_work:
        status = standing.loops[loop.name]
        if status.ended or status.is_silent or (saturated is not None and overload is not None):
            continue
        seconds = _seconds_late(standing, loop, status)
        if seconds is not None and seconds > loop.promise:
            yield _behind(standing, loop, seconds)


def _seconds_late(standing: Standing, loop: Expected, status: LoopStatus) -> float | None:
    """Return how late events arrive: those that came lately, and those that wait; None while nobody knows it."""
    recent = status.figures.recent_latency
    slowest = recent.quantile(_QUANTILE) if recent.count >= ENOUGH_EVENTS else None
    age = _age(standing, loop, status)
    return max((value for value in (slowest, status.figures.gauge(BEHIND), age) if value is not None), default=None)


def _age(standing: Standing, loop: Expected, status: LoopStatus) -> float | None:
    """Return how long ago at least what waits was committed, where that is longer than any clock may be wrong.

    One event that the partner does not take holds back the time up to which all are delivered. So there it counts
    only while nothing arrives; and while few wait, only once each of them should have been given up.
    """
    figures, as_of = status.figures, status.figures.gauge(AS_OF)
    if as_of is None or status.lag == 0 or not (status.state is None or status.state.is_streaming):
        return None
    bound = loop.promise
    if loop.destination == "partner":
        if figures.recent_latency.count or figures.gauge(DONE):
            return None
        if (status.lag or 0) < ENOUGH_EVENTS:
            bound = max(bound, standing.retry_seconds)
    age = standing.snapshot.now.timestamp() - status.silent_seconds - as_of
    return age if age > bound + _CLOCKS_APART else None


def _behind(standing: Standing, loop: Expected, seconds: float) -> Condition:
    waiting = standing.waiting([loop])
    wait = "" if waiting is None else f"{events_wait(waiting)}. "
    place = _PLACES.get(loop.destination, loop.destination)
    state = standing.state_of(loop)
    gives_way = f" It gives way to {state.subject}." if state is not None and state.kind is Activity.GIVES_WAY else ""
    return Condition(
        Kind.BEHIND,
        Severity.CRITICAL,
        standing.stream,
        loop.name,
        standing.snapshot.now.timestamp(),
        f"Events arrive in {place} {seconds:,.1f} s after their commit; {loop.promise:g} s are promised.",
        f"{wait}Nothing is lost: {loop.name} catches up when it is faster than what comes.{gives_way}",
        "Where it follows an outage it passes by itself. Else see docs/operating.md, More than it can do.",
        loops=(loop.name,),
        form="late",
        values={
            "loops": loop.name,
            "destination": loop.destination,
            "seconds": f"{seconds:,.1f}",
            "promise": f"{loop.promise:g}",
            "waiting": "" if waiting is None else str(waiting),
        },
    )


_PLACES = {"kafka": "Kafka", "redis": "Redis", "warehouse": "the warehouse", "partner": "the partner's API"}


def _saturated(standing: Standing, loop: Expected, overload: str) -> Condition:
    state = standing.loops[loop.name].state
    assert state is not None, "it is saturated"  # noqa: S101
    # Without the time, which `since` tells, and without the sentence on what it means.
    figures = overload.removeprefix(f"Saturated since {clock(state.since)}, ").partition(". Nothing is lost")[0]
    return Condition(
        Kind.SATURATED,
        Severity.CRITICAL,
        standing.stream,
        loop.name,
        state.since,
        f"More events come than can be handled: {figures}.",
        "Redis shows events later than is promised. Nothing is lost: it is all caught up when fewer events come.",
        "More processors; see docs/operating.md, More than it can do.",
        loops=(loop.name,),
        form="saturated",
        values={"figures": figures},
    )


def _is_saturated(status: LoopStatus | None) -> bool:
    return status is not None and status.state is not None and status.state.kind is Activity.SATURATED
