"""What is remembered of conditions, and the alerts that wait for their receiver: rows in the platform's database.

What is decided and what is to be told are one transaction, so no end and no beginning is told twice or forgotten by a
process that dies. A message is delivered at least once, with the same id each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.alerts import (
    LONGEST_UNDELIVERED,
    MOST_UNDELIVERED,
    TOLD_AGAIN_AFTER,
    Alert,
    Memory,
    Watch,
    due_again,
)

_SQL = sql.load(__package__, "alerts.sql")

_REMEMBERS_SECONDS = 30.0
"""How often it is noted that somebody looks, where nothing has changed."""

Judge = Callable[[Watch | None, float], tuple[Watch, Sequence[Alert]]]
"""Returns what is remembered after a look, and what is to be told, from what was remembered and the time."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The message whose turn it is."""

    number: int
    alert: Alert
    tries: int
    rest_seconds: float
    """For how long it is still to rest."""


@dataclass(frozen=True, slots=True)
class AlertsStanding:
    """How many messages wait, and how the receiver has answered."""

    waiting: int
    since: float | None
    """Since when the first of them waits, in seconds since 1970."""
    answer: str
    """The last answer to it."""
    given_up: int
    """Messages of the last day that nobody has taken."""


class Alerts(Store):
    """The tables of alerts."""

    def look(self, judge: Judge, location: str = "") -> Sequence[Alert]:
        """Decide what is to be told, remember it, and let it wait for its receiver; return it.

        Each code location remembers what it has told by itself: it sees no stream of another one.
        """
        with self.session.transaction():
            self.session.execute(_SQL["begin"], location=location)
            (row,) = self.session.all(_SQL["watch"], location=location)
            (now,) = self.session.all(_SQL["now"])
            before = _watch(row)
            watch, alerts = judge(self._without_given_up(before), now["now"])
            is_late = before is None or now["now"] - before.looked_at >= _REMEMBERS_SECONDS
            if alerts or is_late or before is None or watch.memories != before.memories:
                memories = Jsonb(_as_json(list(watch.memories.values())))
                self.session.execute(_SQL["remember"], location=location, looked_at=watch.looked_at, memories=memories)
            for alert in alerts:
                self.session.execute(_SQL["add"], id=alert.id, message=Jsonb(_as_json(alert)))
        return alerts

    def _without_given_up(self, watch: Watch | None) -> Watch | None:
        """Return what is remembered without the beginnings that were given up, once these have rested."""
        told = [] if watch is None else [memory.alert for memory in watch.memories.values() if memory.alert]
        if watch is None or not told:
            return watch
        rows = self.session.all(_SQL["given_up"], ids=told, rest=TOLD_AGAIN_AFTER)
        return due_again(watch, {row["id"] for row in rows})

    def may_deliver(self) -> bool:
        """Take the right to deliver for as long as the session lasts; return False where another has it."""
        return self.session.one(_SQL["alone"]) == {"is_alone": True}

    def bound(self) -> None:
        """Drop what has waited for a day, and the oldest of too many."""
        self.session.execute(_SQL["bound"], longest=LONGEST_UNDELIVERED, most=MOST_UNDELIVERED)

    def first(self) -> Waiting | None:
        """Return the message whose turn it is; None where none waits."""
        row = self.session.one(_SQL["first"])
        if row is None:
            return None
        return Waiting(row["number"], msgspec.convert(row["message"], Alert), row["tries"], row["rest_seconds"])

    def end(self, waiting: Waiting, outcome: Literal["delivered", "refused"], answer: str = "") -> None:
        """Note that a message was delivered, or is given up."""
        self.session.execute(_SQL["end"], number=waiting.number, outcome=outcome, answer=answer)

    def again(self, waiting: Waiting, seconds: float, answer: str) -> None:
        """Let a message rest for some seconds, after a try in vain."""
        self.session.execute(_SQL["again"], number=waiting.number, seconds=seconds, answer=answer)

    def wake(self) -> None:
        """Let what waits be tried at once."""
        self.session.execute(_SQL["wake"])

    def standing(self) -> AlertsStanding:
        """Return how many messages wait, and how the receiver has answered."""
        (standing,) = self.session.objects(AlertsStanding, _SQL["standing"])
        return standing

    def prune(self, hours: int) -> None:
        """Forget the messages that have ended so many hours ago, and the code locations that have not looked since."""
        self.session.execute(_SQL["prune"], hours=hours)
        self.session.execute(_SQL["prune_watches"], hours=hours)


def _as_json(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _watch(row: dict[str, Any]) -> Watch | None:
    """Return what was remembered, as far as this version knows it; None where nobody has looked before."""
    if not row["looked_at"]:
        return None
    memories = [memory for kept in row["memories"] if (memory := _memory(kept)) is not None]
    return Watch(row["looked_at"], {memory.condition.key: memory for memory in memories})


def _memory(kept: object) -> Memory | None:
    try:
        return msgspec.convert(kept, Memory)
    except msgspec.ValidationError:  # of a kind that only a later version has
        return None
