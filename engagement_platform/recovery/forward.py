"""What an operator does when forward stands still where it cannot go on: let it begin elsewhere."""

from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Literal

from engagement_platform.adapters.kafka.group import GroupReader, Stored, note_of
from engagement_platform.adapters.kafka.topics import ensure_replay_topic
from engagement_platform.adapters.platform import forwarded
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.forward.offsets import since_of


def restart(settings: Settings, at: Literal["earliest", "latest"]) -> dict[str, dict[int, int]]:
    """Let forward begin at the oldest messages there are, or behind the newest; return topic -> offsets stored.

    What waits in the topic of replays is kept: its offsets are stored anew, as the oldest, only where they cannot be
    used. Raises Unavailable. A forward that runs beside this overwrites it.
    """
    ensure_replay_topic(settings)
    done = {}
    for topic in (settings.topics.events, settings.topics.replays):
        with closing(GroupReader(settings.kafka, topic, settings.topics.forward_group)) as reader:
            if topic == settings.topics.replays and _has_all(reader, reader.stored()):
                continue
            latest = at == "latest" and topic == settings.topics.events
            done[topic] = reader.end_offsets() if latest else reader.beginning_offsets()
            settled_to = datetime.now(UTC) if latest else None
            reader.store(done[topic], dict.fromkeys(done[topic], note_of(reader.topic_id, settled_to)))
            with suppress(Unavailable):  # it is looked at only where Kafka has no offsets, and written anew by forward
                forwarded.write(settings, topic, forwarded.Position(reader.topic_id, done[topic], settled_to))
    return done


def missed_since(settings: Settings) -> str | None:
    """Return since when events may have been published that were not delivered, and that Kafka has no more.

    As `backfill --since` takes it, TIME where it is not known; None when Kafka has all of them. To be asked before a
    restart, which forgets it. Raises Unavailable.
    """
    topic = settings.topics.events
    with closing(GroupReader(settings.kafka, topic, settings.topics.forward_group)) as reader:
        stored = reader.stored()
        if stored:
            times = [one.settled_to for one in stored.values()]
            known = [moment for moment in times if moment is not None]
            return None if _has_all(reader, stored) else since_of(min(known) if len(known) == len(times) else None)
        try:
            copy = forwarded.read(settings, topic)
        except Unavailable:  # a restart does without that database
            return since_of(None)
        if copy is None or _has_all_of(reader, {copy.topic_id}, copy.offsets):
            return None
        return since_of(copy.settled_to)


def _has_all(reader: GroupReader, stored: Mapping[int, Stored]) -> bool:
    """Say whether the topic has what is behind the offsets. Not where nothing is stored.

    The copy in the platform's database may be of a topic that is gone.
    """
    return _has_all_of(reader, {one.topic_id for one in stored.values()}, {p: one.offset for p, one in stored.items()})


def _has_all_of(reader: GroupReader, topic_ids: set[str], offsets: Mapping[int, int]) -> bool:
    """Say whether the topic is the one of these identities, and has what is behind the offsets."""
    if topic_ids != {reader.topic_id}:
        return False
    oldest = reader.beginning_offsets()
    return all(offset >= oldest[partition] for partition, offset in offsets.items())
