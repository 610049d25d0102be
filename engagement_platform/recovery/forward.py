"""What an operator does when forward stands still where it cannot go on: let it begin elsewhere."""

from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Literal

from engagement_platform.adapters.kafka.group import GroupReader, note_of
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
            if topic == settings.topics.replays and _is_usable(reader):
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
        if _is_usable(reader):
            return None
        stored, oldest, topic_id = reader.stored(), reader.beginning_offsets(), reader.topic_id
    if stored:
        times = [one.at for one in stored.values()]
        return since_of(datetime.fromisoformat(min(times)) if all(times) else None)
    copy = forwarded.read(settings, topic)
    if copy is None or (copy.topic_id == topic_id and all(at >= oldest[p] for p, at in copy.offsets.items())):
        return None
    return since_of(copy.settled_to)


def _is_usable(reader: GroupReader) -> bool:
    stored, oldest = reader.stored(), reader.beginning_offsets()
    # Nothing stored is not usable: the copy in the platform's database may be of a topic that is gone.
    return bool(stored) and all(
        offset.topic_id == reader.topic_id and offset.offset >= oldest[p] for p, offset in stored.items()
    )
