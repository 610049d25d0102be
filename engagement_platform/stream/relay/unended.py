"""Ends what Kafka left open of the relay, in the way in which it must have ended: see `adapters.kafka.hanging`."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from datetime import UTC
from types import ModuleType

import msgspec

from engagement_platform.adapters.kafka.checkpoints import key
from engagement_platform.adapters.kafka.port import Place
from engagement_platform.adapters.kafka.producer import transactional_id
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.refusals import server
from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes
from engagement_platform.domain.dead_letters import DeadLetter, decode_dead_letter
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.hanging import is_known, is_published
from engagement_platform.domain.messages import HEADER_UNSEEN_AT
from engagement_platform.domain.records import IdReader
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control, require_lease
from engagement_platform.stream.relay.clients import Clients

log = logging.getLogger("engagement_platform.relay")


def end_what_hangs(clients: Clients, settings: Settings, control: Control) -> None:
    """Look whether a transaction of the relay hangs, past which nobody can read, and end it.

    To be called once predecessors are fenced: what is still open of them hangs. Raises Unavailable when something was
    ended, since this attempt's producer is fenced by that, and StreamStopped where no end is right.
    """
    open_at = clients.checkpoints.left_open(_topics(settings))
    if open_at:
        first_offsets = _hanging().find(settings.kafka, transactional_id(settings), open_at)
        if first_offsets:
            _Ending(clients, settings, control, first_offsets, open_at.keys()).run()


class OpenForLong:
    """Notices, while a relay works, what stands open for longer than Kafka lets a transaction of the relay."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings
        self._looks = Interval(2 * settings.kafka.transaction_timeout_ms / 1000, is_due=False)
        self._open_at: Mapping[Place, int] = {}
        self._told: set[tuple[Place, int]] = set()

    def look(self) -> None:
        """Look, where that is due. Raises Unavailable where one of the relay's own hangs: who begins again ends it."""
        if not self._looks.is_due:
            return
        self._looks.restart()
        before, self._open_at = self._open_at, self._clients.checkpoints.left_open(_topics(self._settings))
        stuck = {place: end for place, end in self._open_at.items() if before.get(place) == end}
        if not stuck:
            return
        try:
            own = _hanging().find(self._settings.kafka, transactional_id(self._settings), stuck)
        except Unavailable:  # a right that is missing, too: nothing of it is worth a standstill
            return
        if any(stuck[place] == offset for place, offset in own.items()):
            raise Unavailable("Kafka has lost the end of a transaction.", server=server(self._settings.kafka))
        if news := sorted(stuck.items() - self._told):
            self._told = set(stuck.items())
            log.warning(
                "%s: a transaction of another program stays open, past which nobody can read."
                " `kafka-transactions.sh find-hanging` names it.",
                ", ".join(_name(place) for place, _ in news),
            )


class _Ending:
    """Gives each place its end: the checkpoint first, then the rest as the checkpoint says that then holds."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        control: Control,
        first_offsets: Mapping[Place, int],
        open_at: Set[Place],
    ) -> None:
        self._clients = clients
        self._settings = settings
        self._control = control
        self._first_offsets = first_offsets
        self._others = open_at - first_offsets.keys()
        self._checkpoints = Place(settings.topics.checkpoint, 0)
        self._id_of = IdReader(stream_of(settings).source.id).id_of

    def run(self) -> None:
        """End all of it. Raises Unavailable in any case: see `end_what_hangs`."""
        left = _hanging().written(self._settings.kafka, self._first_offsets)
        committed: set[Place] = set()
        if self._checkpoints in left:
            if self._has_to_stay(left.pop(self._checkpoints)):
                committed.add(self._checkpoints)
            self._end([self._checkpoints], committed)
        holding = self._clients.checkpoints.last()
        committed |= {
            place for place, records in left.items() if is_published(_name(place), list(self._ids(records)), holding)
        }
        self._end(left, committed)
        raise Unavailable("The relay connects to Kafka anew.", server=server(self._settings.kafka))

    def _has_to_stay(self, records: Sequence[Record]) -> bool:
        own = key(self._settings)
        values = [record.value for record in records if record.key == own and record.value is not None]
        if not values:
            return False
        opened = from_bytes(values[-1])
        before = self._clients.checkpoints.last_before(self._first_offsets[self._checkpoints])
        told = self._clients.mirror.last(required=True)
        return is_known(opened, before, told, ()) or is_known(opened, before, told, list(self._seen(opened)))

    def _end(self, places: Collection[Place], committed: Collection[Place]) -> None:
        for is_committed in (True, False):
            some = sorted(place for place in places if (place in committed) is is_committed)
            if some:
                require_lease(self._control)
                log.warning(
                    "Kafka had lost the end of a transaction, past which nobody could read; it is %s now: %s.",
                    "committed" if is_committed else "aborted",
                    ", ".join(map(_name, some)),
                )
                _hanging().end(self._settings.kafka, transactional_id(self._settings), some, committed=is_committed)

    def _seen(self, opened: Checkpoint) -> Iterator[int]:
        """Yield ids of what can be read, and may have been published with a checkpoint. Raises Unavailable."""
        topics = (self._settings.topics.events, self._settings.topics.dead_letters)
        if hidden := sorted(place for place in self._others if place.topic in topics):
            what = f"A transaction of another program is open: {', '.join(map(_name, hidden))}."
            raise Unavailable(what, server=server(self._settings.kafka))
        for topic in topics:
            besides = {place.partition for place in self._first_offsets if place.topic == topic}
            last = _hanging().last_committed(self._settings.kafka, topic, besides, lambda one: self._since(one) >= 0)
            yield from self._ids(record for record in last if self._since(record) >= opened.unseen_at)

    def _since(self, record: Record) -> int:
        """Return when the poll began that published an event, or when its letter was written, in microseconds.

        -1 for what the relay did not write.
        """
        if record.topic == self._settings.topics.events:
            texts = [text for name, text in record.headers if name == HEADER_UNSEEN_AT and text]
            return int(texts[0]) if texts and texts[0].isdigit() else -1
        letter = _letter(record)
        return -1 if letter is None else int(letter.at.replace(tzinfo=letter.at.tzinfo or UTC).timestamp() * 1e6)

    def _ids(self, records: Iterator[Record] | Sequence[Record]) -> Iterator[int]:
        """Yield the ids of the relay's events and dead letters. Other loops write letters, too."""
        for record in records:
            if record.topic == self._settings.topics.events:
                number = None if record.value is None else self._id_of(record.value)
            else:
                number = letter.event_id if (letter := _letter(record)) else None
            if number is not None:
                yield number


def _letter(record: Record) -> DeadLetter | None:
    """Return a dead letter of the relay; None for another message."""
    try:
        letter = None if record.value is None else decode_dead_letter(record.value)
    except msgspec.MsgspecError:
        return None
    return letter if letter is not None and letter.source == "relay" else None


def _topics(settings: Settings) -> tuple[str, str, str]:
    topics = settings.topics
    return topics.events, topics.dead_letters, topics.checkpoint


def _name(place: Place) -> str:
    return f"Partition {place.partition} of Kafka's topic {place.topic}"


def _hanging() -> ModuleType:
    """Import what loads kafka-python, also where the other client was chosen: no sooner than it is needed."""
    from engagement_platform.adapters.kafka import hanging  # noqa: PLC0415

    return hanging
