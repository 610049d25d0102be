"""Where forward stands, a second time beside Kafka's consumer group, which is lost with the topic; and decisions.

Written in the background about once a second, and never waited for: without this database forward goes on. Read only
where Kafka has no offsets, to tell a first start from a topic or a group that was lost.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import CONNECT_SECONDS, connect_platform, translated
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "forwarded.sql")
_SECONDS = 1.0
_CLOSE_SECONDS = CONNECT_SECONDS + 1
_TIME_ALONE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Position:
    """Where forward stands in a topic."""

    topic_id: str
    offsets: Mapping[int, int]
    """Partition -> offset of the next message to settle."""
    settled_to: datetime | None
    """Every event that arrived in Kafka before is delivered or a dead letter; None where that is not known."""


def read(settings: Settings, topic: str) -> Position | None:
    """Return where forward stood; None when it never began. Raises Unavailable."""
    with translated(), connect_platform(settings, "forward") as connection:
        try:
            row = connection.execute(_SQL["read"], {"group": settings.forward_group, "topic": topic}).fetchone()
        except psycopg.errors.UndefinedTable:
            return None  # the schema is made at the first start
    if row is None:
        return None
    topic_id, offsets, settled_to, _ = row
    return Position(topic_id, {int(partition): offset for partition, offset in offsets.items()}, settled_to)


def write(settings: Settings, topic: str, position: Position) -> None:
    """Set where forward stands, as an operator has chosen. Raises Unavailable."""
    with translated(), connect_platform(settings, "forward") as connection:
        connection.execute(_SQL["write"], _parameters(settings, topic, position))


def decide(settings: Settings, events: int, who: str) -> None:
    """Let forward make dead letters of up to so many events that the partner refuses. Raises Unavailable."""
    with translated(), connect_platform(settings, "forward") as connection:
        connection.execute(_SQL["decide"], {"group": settings.forward_group, "events": events, "who": who})


def _parameters(settings: Settings, topic: str, position: Position) -> dict[str, object]:
    return {
        "group": settings.forward_group,
        "topic": topic,
        "topic_id": position.topic_id,
        "offsets": Jsonb({str(partition): offset for partition, offset in position.offsets.items()}),
        "settled_to": position.settled_to,
    }


class Positions:
    """Keeps the copy up to date, and looks for decisions, from a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._latest: dict[str, Position] = {}
        self._written: dict[str, Position] = {}
        self._decisions: SimpleQueue[int] = SimpleQueue()
        self._connection: psycopg.Connection[Any] | None = None  # of the thread
        self._answers = True
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work_until_closed, name="forward-positions", daemon=True)
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

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a few seconds; a database that is away is not waited for."""
        self._closing.set()
        if self._answers:
            self._thread.join(_CLOSE_SECONDS)

    def _work_until_closed(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(_SECONDS)
            self.asks = self.asks and not closing
            self._answers = self._work()
        self._give_back()
        self._disconnect()

    def _give_back(self) -> None:
        left = self.unused + self.decided()
        if not left:
            return
        try:
            self._connection = self._connection or connect_platform(self._settings, "forward-positions")
            self._connection.execute(_SQL["give_back"], {"group": self._settings.forward_group, "events": left})
        except (psycopg.Error, Unavailable) as error:
            log.warning("That %d more events may be given up was forgotten, decide again: %s", left, error)

    def _work(self) -> bool:
        """Write what is new and look for decisions; say whether that worked. The next try connects anew if not."""
        new = {topic: each for topic, each in list(self._latest.items()) if _is_new(each, self._written.get(topic))}
        if not new and not self.asks:
            return self._answers
        try:
            self._connection = self._connection or connect_platform(self._settings, "forward-positions")
            for topic, position in new.items():
                self._connection.execute(_SQL["write"], _parameters(self._settings, topic, position))
                self._written[topic] = position
            if self.asks:
                for (events,) in self._connection.execute(
                    _SQL["take_decisions"], {"group": self._settings.forward_group}
                ):
                    self._decisions.put(events)
        except psycopg.Error as error:
            log.debug("where forward stands was not copied: %s", error)
        except Exception:  # whatever it is: without the thread the copy would grow old unnoticed
            log.exception("where forward stands was not copied")
        else:
            return True
        self._disconnect()
        return False

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_new(position: Position, written: Position | None) -> bool:
    """Say whether a position is worth writing: where nothing happens, its time alone is so now and then."""
    if written is None or (position.topic_id, position.offsets) != (written.topic_id, written.offsets):
        return True
    if position.settled_to is None or written.settled_to is None:
        return position != written
    return position.settled_to - written.settled_to >= _TIME_ALONE


@contextmanager
def open_positions(settings: Settings) -> Iterator[Positions]:
    """Keep the copy while the block runs."""
    positions = Positions(settings)
    positions.start()
    try:
        yield positions
    finally:
        positions.close()
