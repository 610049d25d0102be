"""How many messages wait for a loop, asked from outside of it: a loop that is paused cannot tell.

Counted are offsets from where the loop has stored that it stands, as its own lag counts them; so the markers of
transactions count, too.
"""

from collections.abc import Callable, Mapping

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.platform.loop_status import offsets_of_stage
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import Counts
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Progress


def backlog(settings: Settings, loop: str) -> int:
    """Return how many messages wait for forward, stage or tally. Raises EngagementError when that cannot be asked."""
    return _OF[loop](settings)


def lag_behind(settings: Settings, progress: Progress) -> int | None:
    """Return how many messages lie behind where a loop knows that it stands. Raises EngagementError."""
    return _of_topic(settings, lambda _: progress.offsets) if progress.offsets else None


def lag_behind_group(settings: Settings) -> int:
    """Return how many messages wait for forward, as its group's offsets tell. Raises EngagementError."""
    return _of_forward(settings)


def _of_forward(settings: Settings) -> int:
    return sum(_of_group(settings, topic) for topic in (settings.topic, settings.replay_topic))


def _of_group(settings: Settings, topic: str) -> int:
    reader = GroupReader(settings, topic)
    try:
        stored = {
            p: position.offset for p, position in reader.stored().items() if position.topic_id in (reader.topic_id, "")
        }
        return _beyond(stored, reader)
    finally:
        reader.close()


def _of_stage(settings: Settings) -> int:
    return _of_topic(settings, lambda topic_id: offsets_of_stage(settings, topic_id))


def _of_tally(settings: Settings) -> int:
    from engagement_platform.stream.tally.loop import window_of  # noqa: PLC0415, the tally counts by this module, too

    with connect_redis(settings) as client:
        state = Counts(client, settings.redis_namespace, window_of(settings)).state()
    return _of_topic(settings, lambda topic_id: state.offsets if state.topic_id == topic_id else {})


def _of_topic(settings: Settings, places: Callable[[str], Mapping[int, int]]) -> int:
    reader = TopicReader(settings)
    try:
        return _beyond(places(reader.topic_id), reader)
    finally:
        reader.close()


def _beyond(places: Mapping[int, int], reader: TopicReader) -> int:
    """Return the number of offsets from the places to the ends; from the oldest there are, where there is no place."""
    begins = reader.beginning_offsets() | dict(places)
    return sum(max(0, end - begins.get(partition, 0)) for partition, end in reader.end_offsets().items())


_OF = {"forward": _of_forward, "stage": _of_stage, "tally": _of_tally}
