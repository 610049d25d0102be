"""What was done with dead letters, by whom, when and why: rows beside the topic, which is append-only.

Every operation raises Unavailable when the database does not answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect, translated
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.dead_letters import Action, Address, Letter
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "dead_letters.sql")


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an action on a letter."""

    address: Address
    done: bool
    note: str


class LetterActions:
    """The actions on the letters of one topic, over a connection. Addresses of another topic mean other letters."""

    def __init__(self, connection: psycopg.Connection[Any], topic_id: str) -> None:
        self._connection = connection
        self._topic_id = topic_id

    def all(self) -> dict[Address, list[Action]]:
        """Return what was done with letters, in the order of time, for those with which anything was."""
        found: dict[Address, list[Action]] = {}
        with translated(), self._connection.cursor(row_factory=dict_row) as rows:
            for row in rows.execute(_SQL["actions"], {"topic_id": self._topic_id}):
                found.setdefault(Address(row.pop("partition"), row.pop("offset")), []).append(Action(**row))
        return found

    def begin(self, kind: Literal["redrive", "discard"], letters: Sequence[Letter], who: str, why: str) -> None:
        """Note that something is to be done with letters. An action on them that was left open is closed by it."""
        parameters = {
            **self._of([letter.address for letter in letters]),
            "event_ids": [letter.content.event_id for letter in letters],
            "kind": kind,
            "who": who,
            "why": why,
        }
        with translated():
            self._connection.execute(_SQL["begin"], parameters)

    def discard(self, letters: Sequence[Letter], who: str, why: str) -> None:
        """Note, all at once, that letters need nothing any more."""
        with translated(), self._connection.transaction():
            self.begin("discard", letters, who, why)
            self.end([Ended(letter.address, done=True, note="") for letter in letters])

    def end(self, ended: Sequence[Ended]) -> None:
        """Note what came of the actions that are open."""
        parameters = {
            **self._of([each.address for each in ended]),
            "outcomes": ["done" if each.done else "failed" for each in ended],
            "notes": [each.note for each in ended],
        }
        with translated():
            self._connection.execute(_SQL["end"], parameters)

    def _of(self, addresses: Sequence[Address]) -> Mapping[str, object]:
        return {
            "topic_id": self._topic_id,
            "partitions": [address.partition for address in addresses],
            "offsets": [address.offset for address in addresses],
        }


@contextmanager
def open_actions(settings: Settings, topic_id: str, *, alone: bool = False) -> Iterator[LetterActions]:
    """Connect; with `alone`, nobody else acts on letters meanwhile. Raises EngagementError when somebody does."""
    ensure_schema(settings)
    with translated():
        connection = connect(settings, "letters")
    try:
        if alone:
            with translated():
                free = connection.execute(_SQL["alone"]).fetchone()
            if free != (True,):
                raise EngagementError(
                    "Somebody else is redriving or discarding dead letters at this moment.",
                    "Try again when it is done.",
                )
        yield LetterActions(connection, topic_id)
    finally:
        connection.close()
