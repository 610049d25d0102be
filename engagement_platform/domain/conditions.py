"""What is wrong, as one value that page, alerts, metrics, checks and `status` read alike.

A condition says what happened, since when, what that means, and what to do. It goes away by itself once it is no longer
so; whoever tells people of it tells when it begins and when it ends. Its kind, subject and stream make it the same one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Severity(StrEnum):
    """How bad a condition is: one that nobody has to act on is none."""

    CRITICAL = "critical"
    """A promise is not kept at this moment, or is about to be broken."""
    WARNING = "warning"
    """All promises are kept, and somebody has to act."""


class Kind(StrEnum):
    """What is wrong, the most important first; each has a name that stays: rules and filters of others rely on it."""

    UNREADABLE = "unreadable"
    """How the stream stands cannot be read: the platform's database is away, or the stream's folder is broken."""
    NOBODY_STREAMS = "nobody_streams"
    LOOP_STANDS_STILL = "loop_stands_still"
    BREAKER_OPEN = "breaker_open"
    """The partner counts as down; it is asked with one request from time to time."""
    SATURATED = "saturated"
    """More events come than can be handled."""
    BEHIND = "behind"
    """Events arrive later than is promised."""
    DAEMON_SILENT = "daemon_silent"
    """Dagster's daemon gives no sign of life: no schedule, sensor or backfill goes on."""
    DAGSTER_UNREADABLE = "dagster_unreadable"
    """What only Dagster knows cannot be read, so that nobody knows whether any of the following is so."""
    LOOP_PAUSED = "loop_paused"
    DEAD_LETTERS = "dead_letters"
    BACKFILL_FAILED = "backfill_failed"
    RUN_FAILED = "run_failed"
    CHECK_FAILED = "check_failed"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong."""

    kind: Kind
    severity: Severity
    stream: str
    """Empty for what concerns all streams."""
    subject: str
    """The loop, server, asset check, job or backfill that it is about. What stands still for the same reason, such as
    three loops that wait for Kafka, is one condition."""
    since: float
    """Seconds since 1970."""
    what: str
    """What happened, as one sentence without the time: Redis at localhost:6379 does not answer."""
    means: str = ""
    """What follows from it: 12,261 events wait, nothing is lost."""
    todo: str = ""
    page: str = ""
    """The path of the page that shows more, such as /dead-letters."""
    loops: tuple[str, ...] = ()
    """The loops that do not do their work by it, in the order of the stream."""
    form: str = ""
    """Which sentence `what` is, by a name that stays, for whoever says it in another language."""
    values: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What stands in that sentence, by name; what a server answered is among it, as it came."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same condition as one of another moment."""
        return (self.stream, self.kind.value, self.subject)


_SEEN_ONLY = frozenset({Kind.UNREADABLE, Kind.NOBODY_STREAMS, Kind.BEHIND, Kind.DAGSTER_UNREADABLE})
"""Kinds of which nothing may tell since when they are so, but that they were so at an earlier look."""


def continued(present: Iterable[Condition], before: Iterable[Condition]) -> list[Condition]:
    """Return the present conditions, those that were there before with the beginning that they had then."""
    begun = {condition.key: condition.since for condition in before if condition.kind in _SEEN_ONLY}
    return [replace(one, since=min(one.since, begun.get(one.key, one.since))) for one in present]


def is_well(conditions: Collection[Condition]) -> bool:
    """Say whether all is well, as the page's sentence and the API have it: nobody has to do anything."""
    return not conditions


def promises_kept(conditions: Iterable[Condition]) -> bool:
    """Say whether all promises are kept, as /healthz/stream and the exit code of `status` have it."""
    return all(one.severity is not Severity.CRITICAL for one in conditions)


_ORDER = tuple(Kind)


def by_importance(conditions: Iterable[Condition]) -> list[Condition]:
    """Return conditions, the most important first: it is what a page says in its one sentence."""
    severities = tuple(Severity)
    return sorted(conditions, key=lambda one: (severities.index(one.severity), _ORDER.index(one.kind)))
