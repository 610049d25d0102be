"""What was done with dead letters, by whom, when and why: rows beside the topic, which is append-only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session, Store
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.dead_letters import Action, Address, Letter
from engagement_platform.domain.errors import EngagementError
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "dead_letters.sql")


class DeadLetterActions(Store):
    """The actions on the letters of one topic. Addresses of another topic mean other letters."""

    def __init__(self, session: Session, topic_id: str) -> None:
        super().__init__(session)
        self._topic_id = topic_id

    def all(self) -> dict[Address, list[Action]]:
        """Return what was done with letters, in the order of time, for those with which anything was."""
        actions: dict[Address, list[Action]] = {}
        for row in self.session.all(_SQL["actions"], topic_id=self._topic_id):
            actions.setdefault(Address(row.pop("partition"), row.pop("offset")), []).append(Action(**row))
        return actions

    def version(self) -> tuple[int, int]:
        """Return what grows with each action that begins or ends."""
        row = self.session.one(_SQL["version"], topic_id=self._topic_id)
        return (0, 0) if row is None else (row["newest"], row["ended"])

    def begin(self, kind: Literal["redrive", "discard"], letters: Sequence[Letter], who: str, why: str) -> None:
        """Note that something is to be done with letters. An action on them that was left open is closed by it."""
        event_ids = [letter.content.event_id for letter in letters]
        of_letters = self._of([letter.address for letter in letters])
        self.session.execute(_SQL["begin"], **of_letters, event_ids=event_ids, kind=kind, who=who, why=why)

    def discard(self, letters: Sequence[Letter], who: str, why: str) -> None:
        """Note, all at once, that letters need nothing any more."""
        with self.session.transaction():
            self.begin("discard", letters, who, why)
            self.end([(letter.address, True, "") for letter in letters])

    def end(self, ended: Sequence[tuple[Address, bool, str]]) -> None:
        """Note what came of the actions that are open: of which letter, whether it is done, and a note."""
        outcomes = ["done" if done else "failed" for _, done, _ in ended]
        of_letters = self._of([address for address, _, _ in ended])
        self.session.execute(_SQL["end"], **of_letters, outcomes=outcomes, notes=[note for _, _, note in ended])

    def _of(self, addresses: Sequence[Address]) -> Mapping[str, object]:
        return {
            "topic_id": self._topic_id,
            "partitions": [address.partition for address in addresses],
            "offsets": [address.offset for address in addresses],
        }


@contextmanager
def open_actions(settings: Settings, topic_id: str, *, alone: bool = False) -> Iterator[DeadLetterActions]:
    """Connect; with `alone`, nobody else acts on letters meanwhile. Raises EngagementError when somebody does."""
    ensure_schema(settings)
    with Session(settings, "letters", _be_alone if alone else lambda _: None) as session:
        with session.connected():
            pass
        yield DeadLetterActions(session, topic_id)


def _be_alone(session: Session) -> None:
    """Take the right to act on letters, for as long as the connection lasts."""
    if session.one(_SQL["alone"]) != {"is_alone": True}:
        raise EngagementError(
            "Somebody else is redriving or discarding dead letters at this moment.",
            "Try again when it is done.",
        )
