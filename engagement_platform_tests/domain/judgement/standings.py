"""A stream of which all is well, and what may be wrong with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from engagement_platform.domain.conditions import Condition
from engagement_platform.domain.judgement.standing import Expected, Standing
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.latency import ENOUGH_EVENTS, Histogram, to_object
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.promises import promises
from engagement_platform.domain.status import LoopStatus
from engagement_platform.stream.registry import LOOPS, NAMES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = NOW.timestamp()
EXPECTED = tuple(
    Expected(loop.name, loop.destination, promises("delta", 5.0)[loop.destination], loop.is_divided) for loop in LOOPS
)
PAUSE = Pause("stage", NOW - timedelta(minutes=5), "me@here", "BigQuery is full")
STREAMS = {"state": {"kind": "streams", "since": AT - 100}}


def snapshot(*, released: bool = False, silent: float = 0, drains: bool = False) -> LeaseSnapshot:
    claimed = NOW - timedelta(minutes=9)
    ends = claimed if drains else NOW + timedelta(seconds=60)
    beat = NOW - timedelta(seconds=silent)
    lease = Lease(7, "abc", claimed, ends, NOW if released else None, NAMES)
    return LeaseSnapshot(NOW, lease, tuple(Loop("abc", name, 7, beat, beat, None) for name in NAMES))


def standing(shown: LeaseSnapshot | None = None, **changed: Any) -> Standing:
    """A stream of which all is well, but for what is changed: of a loop by its name, else of the standing."""
    told = {name: changed.pop(name, STREAMS) for name in NAMES}
    loops = {
        name: status if isinstance(status, LoopStatus) else LoopStatus(name, 0.0, ended=False, progress=status)
        for name, status in told.items()
        if status is not None
    }
    return Standing("engagement", shown or snapshot(), loops, changed.pop("pauses", {}), EXPECTED, **changed)


def only(facts: Standing) -> Condition:
    (condition,) = conditions_of(facts)
    return condition


def waits(server: str, reason: str = "Connection refused", lag: int | None = 3) -> dict[str, Any]:
    return {"lag": lag, "state": {"kind": "waits", "since": AT - 50, "subject": server, "reason": reason}}


def late(seconds: float, times: int = ENOUGH_EVENTS, **more: Any) -> dict[str, Any]:
    latencies = Histogram()
    latencies.add(seconds, times)
    return STREAMS | {"recent_latency": to_object(latencies.present())} | more
