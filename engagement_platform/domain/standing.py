"""How the stream stands, in words and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engagement_platform.domain.leases import DEAD_AFTER, Board, alive, silence
from engagement_platform.domain.loop_state import Kind, LoopState, from_object, in_words
from engagement_platform.domain.pauses import Pause


@dataclass(frozen=True, slots=True)
class LoopStanding:
    """One loop of a run, as it was at its last heartbeat."""

    loop: str
    silent_seconds: float
    """Since then."""
    ended: bool
    """Whether it ended as planned."""
    progress: Mapping[str, Any]
    """Events, lag and latency in milliseconds, and figures of the loop's own."""

    @property
    def state(self) -> LoopState | None:
        """What it was doing; None where it does not tell."""
        return from_object(self.progress.get("state", {}))

    def latency(self, quantile: str) -> float | None:
        """Return p50 or p99, in milliseconds, since the last materialization; None when there was no event."""
        found = self.progress.get("latency_ms", {}).get(quantile)
        return None if found is None else float(found)


def lease_in_words(board: Board) -> str:
    """Say who streams."""
    lease = board.lease
    if lease is None:
        return "Nothing has streamed yet."
    run = f"Run {lease.run_id}, epoch {lease.epoch}"
    if lease.released_at is not None:
        return f"Nobody streams. {run}, has ended."
    if not alive(board):
        return f"Nobody streams. {run}, has been silent for {silence(board, lease).total_seconds():.0f} s."
    left = (lease.ends_at - board.now).total_seconds()
    return f"{run}, streams for another {left:.0f} s." if left > 0 else f"{run}, streams until its successor comes."


def loop_in_words(standing: LoopStanding | None, pause: Pause | None) -> str:
    """Say what a loop does; None stands for a loop that has not begun."""
    if pause is not None:
        state = None if standing is None else standing.state
        stands_still = standing is None or standing.ended or (state is not None and state.kind is Kind.PAUSED)
        return f"{'paused' if stands_still else 'is being paused,'} {pause}"
    if standing is None:
        return "has not begun"
    if standing.ended:
        return "has ended"
    if standing.silent_seconds > DEAD_AFTER.total_seconds():
        return "is silent"
    return in_words(standing.state) if standing.state else "runs"
