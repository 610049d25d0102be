"""Where forward stands, a second time beside Kafka's consumer group, which is lost with the topic; and decisions.

Written in the background about once a second, and never waited for: without this database forward goes on. Read only
where Kafka has no offsets, to tell a first start from a topic or a group that was lost.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import NoTable, Session
from engagement_platform.adapters.platform.copies import Copier, Write
from engagement_platform.adapters.platform.decisions import Decisions, subject_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "forwarded.sql")
_TIME_ALONE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Position:
    """Where forward stands in a topic."""

    topic_id: str
    offsets: Mapping[int, int]
    """Partition -> offset of the next message to settle."""
    settled_to: datetime | None
    """Every event that arrived in Kafka before is delivered or a dead letter; None where that is not known."""
    partitions: int = 0
    """How many the topic has, where these are the offsets of one of several shards; else 0."""


def read(settings: Settings, topic: str) -> Position | None:
    """Return where forward stood; None when it never began. Raises Unavailable."""
    with Session(settings, "forward") as session, suppress(NoTable):
        row = session.one(_SQL["read"], group=settings.topics.forward_group, topic=topic)
        if row is not None:
            offsets = {int(partition): offset for partition, offset in row["next_offsets"].items()}
            return Position(row["topic_id"], offsets, row["settled_to"])
    return None


def settled_to(session: Session, settings: Settings) -> datetime | None:
    """Return the time before which every event that came to Kafka is settled; None where it is not known.

    Raises Unavailable.
    """
    row = session.one(_SQL["read"], group=settings.topics.forward_group, topic=settings.topics.events)
    moment: datetime | None = None if row is None else row["settled_to"]
    return moment


def write(settings: Settings, topic: str, position: Position) -> None:
    """Set where forward stands, as an operator has chosen. Raises Unavailable."""
    with Session(settings, "forward") as session:
        session.execute(_SQL["write"], **_parameters(settings, topic, position))


def _parameters(settings: Settings, topic: str, position: Position) -> dict[str, object]:
    return {
        "group": settings.topics.forward_group,
        "topic": topic,
        "topic_id": position.topic_id,
        "offsets": Jsonb({str(partition): offset for partition, offset in position.offsets.items()}),
        "settled_to": position.settled_to,
    }


class Positions(Copier):
    """Keeps the copy up to date, and looks for decisions, from a thread of its own, while the block runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "forward-positions", log)
        self._settings = settings
        self._subject = subject_of(settings, "forward")
        self._latest: dict[str, Position] = {}
        self._written: dict[str, Position] = {}  # of the thread
        self._decisions: SimpleQueue[int] = SimpleQueue()
        self.asks = False
        """Whether it is looked for decisions."""
        self.unused = 0
        """How many of the events decided are not used up: in the end they are left to the next run, for their hour."""

    def record(self, topic: str, position: Position) -> None:
        """Take note of a position that Kafka has. Returns at once."""
        self._latest[topic] = position

    def decided(self) -> int:
        """Return how many refused events may become dead letters, as was decided since the last call."""
        events = 0
        while True:
            try:
                events += self._decisions.get_nowait()
            except Empty:
                return events

    def _news(self) -> list[Write]:
        return [*self._new_positions(), self._take_decisions] if self.asks else self._new_positions()

    def _last_news(self) -> list[Write]:
        return [self._give_back, *self._new_positions()]

    def _new_positions(self) -> list[Write]:
        return [
            partial(self._write, topic, position)
            for topic, position in list(self._latest.items())
            if _is_new(position, self._written.get(topic))
        ]

    def _write(self, topic: str, position: Position, session: Session) -> None:
        parameters = _parameters(self._settings, topic, position)
        if not position.partitions:
            session.execute(_SQL["write"], **parameters)
        elif position.offsets:
            settled_to = None if position.settled_to is None else position.settled_to.isoformat()
            settled_by = Jsonb({str(partition): settled_to for partition in position.offsets})
            session.execute(_SQL["write_part"], **parameters, settled_by=settled_by, partitions=position.partitions)
        self._written[topic] = position

    def _take_decisions(self, session: Session) -> None:
        if events := Decisions(session).take(self._subject):
            self._decisions.put(events)

    def _give_back(self, session: Session) -> None:
        left = self.unused + self.decided()
        if not left:
            return
        try:
            Decisions(session).give_back(self._subject, left)
        except Unavailable as error:
            log.warning("That %d more events may be given up was forgotten, decide again: %s", left, error)


def _is_new(position: Position, written: Position | None) -> bool:
    """Say whether a position is worth writing: where nothing happens, its time alone is so now and then."""
    if written is None or (position.topic_id, position.offsets) != (written.topic_id, written.offsets):
        return True
    if position.settled_to is None or written.settled_to is None:
        return position != written
    return position.settled_to - written.settled_to >= _TIME_ALONE
