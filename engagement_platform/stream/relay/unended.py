"""Ends what Kafka left open of the relay, in the way in which it must have ended: see `adapters.kafka.hanging`."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from engagement_platform.adapters.kafka.checkpoints import key
from engagement_platform.adapters.kafka.port import Place
from engagement_platform.adapters.kafka.producer import transactional_id
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.refusals import server
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.checkpoint import Checkpoint, from_bytes
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.hanging import is_known, is_published
from engagement_platform.domain.records import IdReader
from engagement_platform.settings import Settings
from engagement_platform.stream.relay.clients import Clients

log = logging.getLogger("engagement_platform.relay")


def end_what_hangs(clients: Clients, settings: Settings) -> None:
    """Look whether a transaction of the relay hangs, past which nobody can read, and end it.

    To be called once predecessors are fenced. Raises Unavailable when one was ended: this attempt's producer is fenced
    by that. Raises StreamStopped where no end is right.
    """
    topics, of = settings.topics, transactional_id(settings)
    open_at = clients.checkpoints.left_open((topics.events, topics.dead_letters, topics.checkpoint))
    if not open_at:
        return
    # kafka-python is loaded by this, also where the other client was chosen, and only then.
    from engagement_platform.adapters.kafka import hanging  # noqa: PLC0415

    begins = hanging.find(settings.kafka, of, open_at)
    if not begins:
        return
    stays = _what_stays(clients, settings, hanging.written(settings.kafka, begins))
    for committed in (True, False):
        places = [place for place in begins if (place in stays) is committed]
        if places:
            hanging.end(settings.kafka, of, places, committed=committed)
    log.warning(
        "Kafka had lost the end of a transaction, past which nobody could read. It has one now: committed in %d"
        " partitions, aborted in %d; nothing is lost.",
        len(stays),
        len(begins) - len(stays),
    )
    raise Unavailable("The relay connects to Kafka anew.", server=server(settings.kafka))


def _what_stays(clients: Clients, settings: Settings, left: Mapping[Place, Sequence[Record]]) -> set[Place]:
    """Return the partitions in which what was left open has to be committed."""
    of_checkpoints = Place(settings.topics.checkpoint, 0)
    holding, stays = clients.checkpoints.last_committed(), set()
    opened = _last_checkpoint(settings, left.get(of_checkpoints, ()))
    if opened is not None:
        told = clients.mirror.last(required=True)
        if is_known(opened, holding, told, _last_ids(settings, left)):
            holding = opened
            stays.add(of_checkpoints)
    for place, records in left.items():
        where = f"Partition {place.partition} of Kafka's topic {place.topic}"
        if place != of_checkpoints and is_published(where, _ids(settings, records), holding):
            stays.add(place)
    return stays


def _last_checkpoint(settings: Settings, records: Sequence[Record]) -> Checkpoint | None:
    own = key(settings)
    values = [record.value for record in records if record.key == own and record.value is not None]
    return from_bytes(values[-1]) if values else None


def _last_ids(settings: Settings, left: Iterable[Place]) -> list[int]:
    """Return the ids of the last messages, by partition, of the events and dead letters that can be read to the end."""
    from engagement_platform.adapters.kafka import hanging  # noqa: PLC0415

    ids = []
    for topic in (settings.topics.events, settings.topics.dead_letters):
        besides = {place.partition for place in left if place.topic == topic}
        ids += _ids(settings, hanging.last_committed(settings.kafka, topic, besides))
    return ids


def _ids(settings: Settings, records: Iterable[Record]) -> list[int]:
    """Return the ids of the events or dead letters that can be read as such."""
    reader = IdReader(stream_of(settings).source.id)
    return [one for record in records if (one := _id(settings, reader, record)) is not None]


def _id(settings: Settings, reader: IdReader, record: Record) -> int | None:
    if record.topic != settings.topics.dead_letters:
        return None if record.value is None else reader.id_of(record.value)
    return int(record.key) if record.key is not None and record.key.lstrip(b"-").isdigit() else None
