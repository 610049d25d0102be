"""The state of a loop: one value that status, materializations, metrics and alerts read alike.

Nothing here reads a clock: a time is an argument, in seconds since 1970.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from engagement_platform.domain.errors import EngagementError, Refused, Unavailable


class Activity(StrEnum):
    """What a loop is doing, as status, materializations, metrics and alerts tell it."""

    STARTS = "starts"
    """It connects for the first time."""
    STREAMS = "streams"
    """It handles events as they come."""
    SATURATED = "saturated"
    """It handles events as fast as it can, and more come: Redis is behind. It catches up by itself when fewer come."""
    GIVES_WAY = "gives way"
    """It handles events, and takes less than it could while Redis is behind, or waits for the rebuild of a day."""
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


HEALTHY = frozenset({Activity.STARTS, Activity.STREAMS, Activity.GIVES_WAY, Activity.STANDS_BY, Activity.IDLE})
"""Activities that nobody has to be told of. A pause stands still too, but somebody wants it."""

STREAMING = frozenset({Activity.STREAMS, Activity.SATURATED, Activity.GIVES_WAY})
"""Activities in which events pass."""


@dataclass(frozen=True, slots=True)
class LoopState:
    """What a loop is doing, since when, and why."""

    kind: Activity
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

    @property
    def is_streaming(self) -> bool:
        """Say whether events pass the loop."""
        return self.kind in STREAMING

    def about(self, other: "LoopState") -> bool:
        """Say whether this state continues the other: `since` then stays."""
        return (self.kind, self.subject) == (other.kind, other.subject)


_BY_CONCERN = (
    Activity.IDLE,
    Activity.STREAMS,
    Activity.GIVES_WAY,
    Activity.SATURATED,
    Activity.STANDS_BY,
    Activity.STARTS,
    Activity.PAUSED,
    Activity.WAITS,
    Activity.REFUSED,
    Activity.STOPPED,
)
"""Activities, the one that concerns an operator most last."""


def worst(states: Sequence[LoopState]) -> LoopState:
    """Return the state that concerns an operator most, of some; of several alike, the oldest."""
    return max(states, key=lambda state: (_BY_CONCERN.index(state.kind), -state.since))


def state_of(error: EngagementError, now: float) -> LoopState:
    """Return the state of a loop that has met an error."""
    kind = (
        Activity.REFUSED
        if isinstance(error, Refused)
        else Activity.WAITS
        if isinstance(error, Unavailable)
        else Activity.STOPPED
    )
    subject = error.server if isinstance(error, Unavailable) else ""
    return LoopState(kind, now, subject, error.what, error.todo)


def in_words(state: LoopState) -> str:
    """Say in one line what a loop is doing, since when, and why."""
    since = f"since {clock(state.since)}"
    reason = state.reason.rstrip(".")
    match state.kind:
        case Activity.STARTS | Activity.STREAMS | Activity.STANDS_BY:
            return str(state.kind)
        case Activity.IDLE:
            return f"idle: {reason}"
        case Activity.WAITS | Activity.SATURATED | Activity.GIVES_WAY:
            return f"{in_short(state)} {since} ({reason})" if state.subject else f"{state.kind} {since}: {reason}"
        case Activity.REFUSED:
            return f"refused by {state.subject or 'a server'} {since} ({reason}). {state.remedy}".strip()
        case Activity.PAUSED:
            return f"paused {state.reason}"
    return f"stopped {since}: {reason}. {state.remedy}".strip()


def in_short(state: LoopState) -> str:
    """Say what a loop is doing without the reason, for a cell of a table."""
    preposition = {Activity.WAITS: " for", Activity.REFUSED: " by", Activity.GIVES_WAY: " to"}.get(state.kind, "")
    return f"{state.kind}{preposition} {state.subject}" if preposition and state.subject else str(state.kind)


def clock(at: float) -> str:
    """Return a time as an operator compares it with logs: UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def to_object(state: LoopState) -> dict[str, Any]:
    """Return the state as the platform database keeps it."""
    return asdict(state) | {"kind": state.kind.value}


def from_object(kept: Any) -> LoopState | None:
    """Return a state as it was kept, as far as this version knows its fields; None where that is too little."""
    try:
        texts = {name: str(kept[name]) for name in ("subject", "reason", "remedy") if name in kept}
        return LoopState(Activity(kept["kind"]), float(kept["since"]), **texts)
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Pause:
    """A loop that stands still because an operator wants it to."""

    loop: str
    since: datetime
    who: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {self.who}{because}"
