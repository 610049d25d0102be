"""The state of a loop: one value that status, materializations, metrics and alerts read alike.

Nothing here reads a clock: a time is an argument, in seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from engagement_platform.domain.errors import EngagementError, Refused, Unavailable


class Kind(StrEnum):
    """What a loop is doing."""

    STARTS = "starts"
    """It connects for the first time."""
    STREAMS = "streams"
    """It handles events as they come."""
    WAITS = "waits"
    """A server does not answer, or something that ends by itself is in the way. It goes on by itself."""
    REFUSED = "refused"
    """A server answers, and refuses the login or a right. It goes on when a person has put that right."""
    PAUSED = "paused"
    """An operator has paused it."""
    STOPPED = "stopped"
    """Going on could lose or double events. It goes on when a person has followed the remedy."""
    STANDS_BY = "stands by"
    """It is ready, and another run streams."""
    IDLE = "idle"
    """It has nothing to do by its settings."""


HEALTHY = frozenset({Kind.STARTS, Kind.STREAMS, Kind.STANDS_BY, Kind.IDLE})
"""Kinds that nobody has to be told of. A pause stands still too, but somebody wants it."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """What a loop is doing, since when, and why."""

    kind: Kind
    since: float
    """Seconds since 1970."""
    subject: str = ""
    """Who or what it is about: the server that is away or refuses, the person who paused."""
    reason: str = ""
    remedy: str = ""

    @property
    def is_healthy(self) -> bool:
        """Say whether the loop handles events, or is right not to."""
        return self.kind in HEALTHY

    def about(self, other: "LoopState") -> bool:
        """Say whether this state continues the other: `since` then stays."""
        return (self.kind, self.subject) == (other.kind, other.subject)


def state_of(error: EngagementError, now: float) -> LoopState:
    """Return the state of a loop that has met an error."""
    kind = (
        Kind.REFUSED if isinstance(error, Refused) else Kind.WAITS if isinstance(error, Unavailable) else Kind.STOPPED
    )
    subject = error.server if isinstance(error, Unavailable) else ""
    return LoopState(kind, now, subject, error.what, error.todo)


def in_words(state: LoopState) -> str:
    """Say in one line what a loop is doing, since when, and why."""
    since = f"since {clock(state.since)}"
    reason = state.reason.rstrip(".")
    match state.kind:
        case Kind.STARTS | Kind.STREAMS | Kind.STANDS_BY:
            return str(state.kind)
        case Kind.IDLE:
            return f"idle: {reason}"
        case Kind.WAITS:
            return f"waits for {state.subject} {since} ({reason})" if state.subject else f"waits {since}: {reason}"
        case Kind.REFUSED:
            return f"refused by {state.subject or 'a server'} {since} ({reason}). {state.remedy}".strip()
        case Kind.PAUSED:
            return f"paused {state.reason}"
        case Kind.STOPPED:
            return f"stopped {since}: {reason}. {state.remedy}".strip()


def in_short(state: LoopState) -> str:
    """Say what a loop is doing without the reason, for a cell of a table."""
    preposition = {Kind.WAITS: " for", Kind.REFUSED: " by"}.get(state.kind, "")
    return f"{state.kind}{preposition} {state.subject}" if preposition and state.subject else str(state.kind)


def clock(at: float) -> str:
    """Return a time as an operator compares it with logs: UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def to_object(state: LoopState) -> dict[str, Any]:
    """Return the state as the platform database keeps it."""
    return asdict(state) | {"kind": state.kind.value}


def from_object(kept: Mapping[str, Any]) -> LoopState | None:
    """Return a state as it was kept; None for one of a version that this one does not know."""
    try:
        return LoopState(**{**kept, "kind": Kind(kept["kind"])})
    except (KeyError, TypeError, ValueError):
        return None
