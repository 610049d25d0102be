"""Samples of streams that a test made, for what needs no server."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from engagement_platform.console.serve.sampler import Point, Sample, StreamSample
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.dead_letters import DeadLetterState
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.latency import Histogram, to_object
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.status import LoopStatus
from engagement_platform.health.read import Status, terms_of
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.console.serve.conftest import NOWHERE

DAY_SECONDS = 86_400.0


def status(pauses: Sequence[Pause] = (), letters: LetterCounts | str | None = None) -> Status:
    """How a stream stands of which all is well, but for its pauses."""
    now = datetime.now(UTC)
    lease = Lease(7, "abc", now - timedelta(minutes=9), now + timedelta(seconds=60), None, NAMES)
    snapshot = LeaseSnapshot(now, lease, tuple(Loop("abc", name, 7, now, now, None) for name in NAMES))
    latency = Histogram()
    latency.add(0.02, 100)
    told = {
        "events": 1_234,
        "lag": 5,
        "done": 12.5,
        "recent_latency": to_object(latency.present()),
        "state": {"kind": "streams", "since": now.timestamp() - 100},
    }
    loops = {name: LoopStatus(name, 0.5, ended=False, progress=told) for name in NAMES}
    counts = LetterCounts({DeadLetterState.OPEN: 2}) if letters is None else letters
    return Status(terms_of(NOWHERE), snapshot, loops, {pause.loop: pause for pause in pauses}, counts)


def points(*ages: float) -> tuple[Point, ...]:
    """Figures of moments, so many seconds ago."""
    now = time.time()
    return tuple(Point(now - age, {"tally": 12.5}, {"tally": 0.02}, {"tally": 0.05}) for age in ages)


def condition(stream: str = "engagement", severity: Severity = Severity.CRITICAL, what: str = "") -> Condition:
    said = what or f"The partner refuses the events of {stream}."
    return Condition(
        Kind.BREAKER_OPEN, severity, stream, "forward", 1_000.0, said, "Nothing is lost.", "Ask them.", "/deliveries"
    )


def sample(
    *conditions: Condition,
    age: float = 0.0,
    number: int = 1,
    **streams: Status | EngagementError,
) -> Sample:
    """A sample, so many seconds old, of a stream that is well, or of others."""
    made = {
        name: StreamSample(name, one, NOWHERE, points=points(1_800, 600, 1))
        for name, one in (streams or {"engagement": status()}).items()
    }
    return Sample(number, time.time() - age, made, conditions=conditions)
