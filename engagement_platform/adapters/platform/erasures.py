"""The record of erasures, and what the partner is to be told of them: rows in the platform's database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.erasures import Erasure, SinkOutcome, outcomes_of

_SQL = sql.load(__package__, "erasures.sql")

_REQUESTS_AT_ONCE = 1_000
"""Whose bodies are looked through in one statement: some megabytes."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that the partner has not taken yet."""

    number: int
    message_id: str
    message: str
    after: Mapping[str, Mapping[str, int]]
    """Topic -> partition -> offset: what lies before is to be delivered first."""
    tries: int


class Erasures(Store):
    """The table of erasures. Methods raise Unavailable."""

    def begin(self, mark: str, who: str) -> int:
        """Note an erasure before it is carried out, and return its number: of one that did not come to its end, its."""
        row = self.session.one(_SQL["begin"], mark=mark, who=who)
        assert row is not None, "an insert returns its row"  # noqa: S101
        return int(row["number"])

    def note(self, number: int, outcomes: Mapping[str, SinkOutcome]) -> None:
        """Note what an erasure came to at some sinks."""
        self.session.execute(_SQL["note"], number=number, outcomes=_json(outcomes))

    def end(self, number: int) -> None:
        """Note that all sinks were seen to."""
        self.session.execute(_SQL["end"], number=number)

    def wait(
        self, number: int, message: bytes, after: Mapping[str, Mapping[int, int]], outcomes: Mapping[str, SinkOutcome]
    ) -> None:
        """Keep what the partner is to be told, once all before certain offsets is delivered, until it has taken it.

        A message that waits already stays as it is.
        """
        self.session.execute(
            _SQL["wait"], number=number, message=message.decode(), after=Jsonb(after), outcomes=_json(outcomes)
        )

    def waiting(self, number: int | None = None) -> Sequence[Waiting]:
        """Return what the partner is to be told now; that of one erasure also while it rests."""
        return self.session.objects(Waiting, _SQL["waiting"], number=number)

    def told(self, number: int, outcomes: Mapping[str, SinkOutcome]) -> None:
        """Forget what the partner has taken."""
        self.session.execute(_SQL["told"], number=number, outcomes=_json(outcomes))

    def again(self, number: int, seconds: float, answer: str, outcomes: Mapping[str, SinkOutcome]) -> None:
        """Let what the partner has not taken rest for some seconds."""
        self.session.execute(_SQL["again"], number=number, seconds=seconds, answer=answer, outcomes=_json(outcomes))

    def latest(self, n: int, mark: str | None = None) -> list[Erasure]:
        """Return the newest `n` erasures, or that of one user; the newest first."""
        rows = self.session.all(_SQL["latest"], n=n, mark=mark)
        return [Erasure(**row | {"outcomes": outcomes_of(row["outcomes"])}) for row in rows]

    def forget_bodies(self, texts: Sequence[str]) -> int:
        """Forget bodies and answers in the record of deliveries that name a user; return how many requests had one."""
        (kept,) = self.session.all(_SQL["requests"])
        parts = range(kept["first"], kept["last"] + 1, _REQUESTS_AT_ONCE)
        return sum(
            len(self.session.all(_SQL["bodies"], texts=list(texts), begin=begin, end=begin + _REQUESTS_AT_ONCE))
            for begin in parts
        )


def _json(outcomes: Mapping[str, SinkOutcome]) -> Any:
    return Jsonb(msgspec.to_builtins(outcomes))
