"""How the stream stands, in words and figures: first one sentence, then each loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engagement_platform.domain.conditions import Condition, promises_kept
from engagement_platform.domain.leases import SILENT_AFTER, LeaseSnapshot, alive, silence
from engagement_platform.domain.loop_state import Activity, LoopState, Pause, clock, in_words
from engagement_platform.domain.progress import BEHIND, DONE, LAG, OFFERED, Figures, from_object

STARTS_WITHIN_SECONDS = 30.0
"""A loop of the run that streams connects in less; one that takes longer stands still."""


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """One loop of a run, as it was at its last heartbeat."""

    loop: str
    silent_seconds: float
    """Since then."""
    ended: bool
    """Whether it ended as planned."""
    progress: Mapping[str, Any]
    """What it told of itself, as its heartbeat keeps it: see `domain.progress`."""

    @property
    def figures(self) -> Figures:
        """What it told of itself."""
        return from_object(self.progress)

    @property
    def state(self) -> LoopState | None:
        """What it was doing; None where it does not tell."""
        return self.figures.state

    @property
    def is_silent(self) -> bool:
        """Whether its heartbeat is overdue, so that what it told last may not be true any more."""
        return not self.ended and self.silent_seconds > SILENT_AFTER.total_seconds()

    @property
    def lag(self) -> int | None:
        """Events that wait for it; None while that is not known."""
        lag = self.figures.gauge(LAG)
        return None if lag is None or self.is_silent else int(lag)

    def latency(self, share: float) -> float | None:
        """Return the seconds that a share of the last minute's events did not exceed; None when there was no event."""
        return self.figures.recent_latency.quantile(share)


@dataclass(frozen=True, slots=True)
class Summary:
    """The sentence that comes first, and whether all is well."""

    well: bool
    sentence: str


def summarize(
    snapshot: LeaseSnapshot, loops: Mapping[str, LoopStatus], pauses: Mapping[str, Pause], names: Sequence[str]
) -> Summary:
    """Say in one sentence whether all is well; `names` are those of all loops there should be."""
    if not alive(snapshot):
        return Summary(well=False, sentence=lease_in_words(snapshot))
    now = snapshot.now.timestamp()
    still = [name for name in names if stands_still(loops.get(name), pauses.get(name), now)]
    if not still:
        if overload := overload_in_words([loops[name] for name in names if name in loops]):
            return Summary(well=False, sentence=overload)
        return Summary(well=True, sentence=f"All well. {lease_in_words(snapshot)}")
    sentences = "; ".join(f"{name} {loop_in_words(loops.get(name), pauses.get(name))}" for name in still)
    verb = "stands" if len(still) == 1 else "stand"
    return Summary(well=False, sentence=f"{len(still)} of {len(names)} loops {verb} still: {sentences}")


def with_conditions(streams: Summary, conditions: Sequence[Condition]) -> Summary:
    """Return what is said of a stream beside its conditions, by importance; `streams` says whether its loops are well.

    A promise that is broken is said first; what waits for somebody, while all promises are kept, comes behind.
    """
    if not streams.well or not conditions:
        return streams
    first = conditions[0]
    if not promises_kept(conditions):
        return Summary(well=False, sentence=f"{first.what} {first.means}".strip())
    return Summary(well=True, sentence=f"{streams.sentence} To do: {' '.join(one.what for one in conditions)}")


def overload_in_words(loops: Sequence[LoopStatus]) -> str | None:
    """Say since when more is offered than is done, and how much; None while the stream keeps up.

    Offered is what comes in where events begin, done is what arrives in Redis.
    """
    saturated = next((loop for loop in loops if _is_saturated(loop)), None)
    if saturated is None or saturated.state is None:
        return None
    figures, since = saturated.figures, clock(saturated.state.since)
    offered, done, behind = loops[0].figures.gauge(OFFERED), figures.gauge(DONE), figures.gauge(BEHIND) or 0.0
    waiting = sum(loop.lag or 0 for loop in loops[: loops.index(saturated) + 1])
    if done and waiting:
        behind = min(behind, waiting / done)  # of a relay that reads without a pause it is known with a delay
    return (
        f"Saturated since {since}, offered {_rate(offered)}/s, done {_rate(done)}/s, Redis is {behind:,.1f} s behind."
        " Nothing is lost: it is all caught up when fewer events come."
    )


def _rate(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:,.0f}"


def _is_saturated(loop: LoopStatus) -> bool:
    is_there = not (loop.ended or loop.is_silent)
    return is_there and loop.state is not None and loop.state.kind is Activity.SATURATED


def sum_up(streams: Mapping[str, Summary]) -> Summary:
    """Say in one sentence whether all is well with these streams; of a single one, its own sentence."""
    if len(streams) == 1:
        return next(iter(streams.values()))
    still = [name for name, summary in streams.items() if not summary.well]
    if not still:
        return Summary(well=True, sentence=f"All well: {', '.join(streams)} stream.")
    verb = "is" if len(still) == 1 else "are"
    return Summary(well=False, sentence=f"{len(still)} of {len(streams)} streams {verb} not well: {', '.join(still)}")


def stands_still(status: LoopStatus | None, pause: Pause | None, now: float) -> bool:
    """Say whether no events pass a loop of the run that streams; `now` in seconds since 1970."""
    if pause is not None or status is None or status.is_silent:
        return True
    state = status.state
    if status.ended or state is None:
        return False
    if state.kind is Activity.STARTS:
        return now - state.since > STARTS_WITHIN_SECONDS
    return not (state.is_healthy or state.is_streaming)


def lease_in_words(snapshot: LeaseSnapshot) -> str:
    """Say who streams."""
    lease = snapshot.lease
    if lease is None:
        return "Nothing has streamed yet."
    run = f"Run {lease.run_id}, epoch {lease.epoch}"
    if lease.released_at is not None:
        return f"Nobody streams. {run}, has ended."
    if not alive(snapshot):
        return f"Nobody streams. {run}, has been silent for {silence(snapshot, lease).total_seconds():.0f} s."
    left = (lease.ends_at - snapshot.now).total_seconds()
    return f"{run}, streams for another {left:.0f} s." if left > 0 else f"{run}, streams until its successor comes."


def loop_in_words(status: LoopStatus | None, pause: Pause | None) -> str:
    """Say what a loop does; None stands for a loop that has not begun."""
    state = None if status is None else status.state
    if pause is not None:
        rests = status is None or status.ended or (state is not None and state.kind is Activity.PAUSED)
        return f"{'paused' if rests else 'is being paused,'} {pause}"
    if status is None:
        return "has not begun"
    if status.ended:
        return "has ended"
    if status.is_silent:
        return f"is silent for {status.silent_seconds:.0f} s"
    return in_words(state) if state else "streams"
