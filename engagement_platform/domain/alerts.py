"""When people are told that something is wrong, and when that it is over: decided from one look after the other.

A condition is told once when it begins and once when it is over. Two rules keep one that comes and goes from being told
each time. It has to last for a moment before it is told, longer for what often passes by itself. And it is over only
once it has been away for a while, for twice as long after each end that was told within the hour: at most seven
ends an hour, however it flaps.

What cannot be seen is not over: behind a stream that nobody runs, nobody can tell how its loops stand.
Nothing here reads a clock: times are in seconds since 1970, of whoever looks.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from engagement_platform.domain.conditions import Condition, Kind, continued

Key = tuple[str, str, str]

BEGINS_AFTER: Final[Mapping[Kind, float]] = {
    Kind.UNREADABLE: 20.0,
    Kind.NOBODY_STREAMS: 30.0,  # a run that was killed is replaced within ten, a first one begins within fifteen
    Kind.LOOP_STANDS_STILL: 20.0,
    Kind.BREAKER_OPEN: 20.0,
    Kind.SATURATED: 60.0,
    Kind.BEHIND: 120.0,  # a moment in which events were late is among those of the last minute for up to 70
    Kind.DAEMON_SILENT: 60.0,
    Kind.DAGSTER_UNREADABLE: 60.0,
}
"""For how long a condition is seen before it is told, in seconds. Others are told at once.

Whatever it says of its beginning: behind a night in which all was off, a stream that starts is no stream that failed.
"""

_PASSES = frozenset(BEGINS_AFTER)
"""Kinds that come and go by themselves."""

ENDS_AFTER: Final = 60.0
"""For how long a condition that comes and goes by itself has to be away before it is over, in seconds, at first."""
ENDS_SOON_AFTER: Final = 15.0
"""The same of one that somebody has ended: a pause, a letter, a failed run."""
LONGEST_HOLD: Final = 1_920.0
"""The same after many ends within the hour."""
FORGETS_AFTER: Final = 3_600.0
"""Once a condition has stayed, or stayed away, for so long it is forgotten that it came and went."""
LOOKED_AWAY: Final = 90.0
"""Who has not looked for so long cannot tell what was in between: what is about to be told is waited for anew."""

_HIDDEN_BY: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.NOBODY_STREAMS: frozenset({Kind.LOOP_STANDS_STILL, Kind.BREAKER_OPEN, Kind.BEHIND, Kind.SATURATED}),
    Kind.LOOP_PAUSED: frozenset({Kind.LOOP_STANDS_STILL, Kind.BREAKER_OPEN, Kind.BEHIND, Kind.SATURATED}),
    Kind.LOOP_STANDS_STILL: frozenset({Kind.BREAKER_OPEN, Kind.BEHIND, Kind.SATURATED}),
    Kind.BREAKER_OPEN: frozenset({Kind.BEHIND}),
}
"""Kind -> the kinds that cannot be seen, of the same loops, while it is so."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one condition."""

    condition: Condition
    """As it was seen last."""
    is_present: bool
    changed_at: float
    """When it was first seen to be so, present or away, after it had been otherwise."""
    alert: str = ""
    """The alert that told its beginning; empty while that is not told, and once its end is."""
    ends: int = 0
    """How many ends were told lately."""
    ended_at: float = 0.0

    @property
    def hold(self) -> float:
        """For how long it has to be away before it is over, in seconds."""
        first = ENDS_AFTER if self.condition.kind in _PASSES else ENDS_SOON_AFTER
        return min(LONGEST_HOLD, first * 2.0 ** min(self.ends, 10))


@dataclass(frozen=True, slots=True)
class Watch:
    """What one who looks again and again remembers."""

    looked_at: float
    memories: Mapping[Key, Memory] = field(default_factory=dict, hash=False)

    @property
    def told(self) -> list[Condition]:
        """The conditions whose beginning was told, and not their end."""
        return [memory.condition for memory in self.memories.values() if memory.alert]


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to people."""

    id: str
    """Of this message: the same however often it is sent."""
    alert: str
    """The same in what tells the beginning and in what tells the end."""
    condition: Condition
    at: float
    """When it was decided to tell it."""
    is_over: bool = False


def _sees_all(_: Condition) -> bool:
    return True


def look(
    watch: Watch | None, present: Sequence[Condition], now: float, sees: Callable[[Condition], bool] = _sees_all
) -> tuple[Watch, list[Alert]]:
    """Return what is remembered after a look at what is wrong, and what people are to be told, in order.

    `sees` says whether a condition would be seen if it were there; one that would not stays as it was.
    """
    memories = {} if watch is None else dict(watch.memories)
    if watch is not None and not 0 <= now - watch.looked_at <= LOOKED_AWAY:
        memories = {key: _waited_for_anew(memory, now) for key, memory in memories.items()}
    seen = {one.key: one for one in continued(present, [memory.condition for memory in memories.values()])}
    for key, condition in seen.items():
        memories[key] = _after_seen(memories.get(key), condition, now)
    for key in memories.keys() - seen.keys():
        memory = memories[key]
        if sees(memory.condition) and not is_hidden(memory.condition, seen.values()):
            memories[key] = replace(memory, is_present=False, changed_at=now) if memory.is_present else memory
        elif not memory.is_present:
            memories[key] = replace(memory, changed_at=now)  # its being away is no longer seen
    alerts: list[Alert] = []
    for key, memory in sorted(memories.items(), key=lambda item: (item[1].condition.since, item[0])):
        memories[key] = _told(memory, now, alerts)
    kept = {key: memory for key, memory in memories.items() if not _is_forgotten(memory, now)}
    return Watch(now, kept), alerts


def not_told(watch: Watch, alert: Alert) -> Watch:
    """Return what is remembered where an alert could not be told after all: it is due again, under the same id."""
    memory = watch.memories[alert.condition.key]
    ends = max(0, memory.ends - 1) if alert.is_over else memory.ends
    memory = replace(memory, alert=alert.alert if alert.is_over else "", ends=ends)
    return replace(watch, memories={**watch.memories, alert.condition.key: memory})


def due_again(watch: Watch, given_up: Collection[str]) -> Watch:
    """Return what is remembered where the beginnings with these ids were given up: what lasts is told once more.

    What is over by then is not told at all: nobody has heard of its beginning.
    """
    memories = {
        key: replace(memory, alert="") if memory.alert in given_up else memory for key, memory in watch.memories.items()
    }
    return replace(watch, memories=memories)


def is_hidden(condition: Condition, present: Iterable[Condition]) -> bool:
    """Say whether a condition could not be seen beside those that are present."""
    covered: set[str] = set()
    for other in present:
        if other.key == condition.key or (other.kind is not Kind.UNREADABLE and other.stream != condition.stream):
            continue
        if other.kind is Kind.UNREADABLE and other.stream in ("", condition.stream):
            return True
        if other.kind is Kind.SATURATED and condition.kind is Kind.BEHIND:
            return True
        if condition.kind in _HIDDEN_BY.get(other.kind, ()):
            covered |= set(other.loops)
    return bool(condition.loops) and covered.issuperset(condition.loops)


def _waited_for_anew(memory: Memory, now: float) -> Memory:
    return memory if memory.is_present == bool(memory.alert) else replace(memory, changed_at=now)


def _after_seen(before: Memory | None, condition: Condition, now: float) -> Memory:
    if before is None:
        return Memory(condition, is_present=True, changed_at=now)
    if before.is_present:
        has_stayed = now - before.changed_at >= FORGETS_AFTER
        return replace(before, condition=condition, ends=0 if has_stayed else before.ends)
    return replace(before, condition=condition, is_present=True, changed_at=now)


def _told(memory: Memory, now: float, alerts: list[Alert]) -> Memory:
    """Return the memory after what is due is told, which goes behind `alerts`."""
    condition = memory.condition
    if memory.is_present and not memory.alert and now - memory.changed_at >= BEGINS_AFTER.get(condition.kind, 0.0):
        name = _alert_id(condition, memory.changed_at)
        alerts.append(Alert(name, name, condition, now))
        return replace(memory, alert=name)
    if not memory.is_present and memory.alert and now - memory.changed_at >= memory.hold:
        alerts.append(Alert(f"{memory.alert}_over", memory.alert, condition, now, is_over=True))
        return replace(memory, alert="", ends=memory.ends + 1, ended_at=now)
    return memory


def _alert_id(condition: Condition, at: float) -> str:
    named = "\x00".join((*condition.key, f"{at:.3f}"))
    return "alert_" + hashlib.sha256(named.encode()).hexdigest()[:32]


def _is_forgotten(memory: Memory, now: float) -> bool:
    is_quiet = not memory.is_present and not memory.alert
    return is_quiet and (not memory.ends or not 0 <= now - memory.ended_at < FORGETS_AFTER)


# What waits to be delivered

MOST_UNDELIVERED: Final = 500
"""Alerts that wait for their receiver; of more the oldest are dropped."""
LONGEST_UNDELIVERED: Final = 24 * 3_600.0
"""After so long, in seconds, an alert that nobody takes is dropped."""
GIVES_UP_REFUSED: Final = 3
"""So often an alert is sent that the receiver refuses as a bad message; then the others have their turn."""

TOLD_AGAIN_AFTER: Final = 3_600.0
"""So long after it was given up, in seconds, a beginning is told once more, if what it tells lasts."""


def gives_up(tries: int, *, is_refused: bool) -> bool:
    """Say whether a message is dropped after so many tries; `is_refused` where it is itself what the receiver dislikes.

    What it says of the address, or of itself, is no fault of the message: then all wait.
    """
    return is_refused and tries >= GIVES_UP_REFUSED
