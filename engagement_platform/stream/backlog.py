"""How many messages wait for a loop, asked from outside of it: a loop that is paused cannot tell.

Counted are offsets from where the loop has stored that it stands, as its own lag counts them; so the markers of
transactions count, too. Each loop's module has a `backlog` that says where that is stored.
"""

from collections.abc import Callable, Mapping

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.settings import Settings
from engagement_platform.stream.progress import Progress


def lag_behind(settings: Settings, progress: Progress) -> int | None:
    """Return how many messages lie behind where a loop knows that it stands. Raises EngagementError."""
    return backlog_behind(settings, lambda _: progress.offsets) if progress.offsets else None


def backlog_behind(settings: Settings, stored: Callable[[str], Mapping[int, int]]) -> int:
    """Return how many messages of the topic of events lie behind the offsets that `stored` has for the topic's id.

    Raises EngagementError.
    """
    reader = TopicReader(settings.kafka, settings.topics.events)
    try:
        return beyond(stored(reader.topic_id), reader)
    finally:
        reader.close()


def beyond(stored: Mapping[int, int], reader: TopicReader) -> int:
    """Return the number of messages from the offsets on; from the oldest there are, where there is no offset."""
    begins = reader.beginning_offsets() | dict(stored)
    return sum(max(0, end - begins.get(partition, 0)) for partition, end in reader.end_offsets().items())
