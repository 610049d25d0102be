"""How the views in Redis stand, as one event asks: see `domain.trace`."""

from typing import Any, cast

from engagement_platform.adapters.redis.connection import connect_redis, reaching
from engagement_platform.adapters.redis.counts import Counts
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.event_stream import COUNT
from engagement_platform.domain.trace.facts import InViews, Message
from engagement_platform.domain.trace.views import bucket_of
from engagement_platform.domain.windows import Window
from engagement_platform.settings import Settings


def look_up(settings: Settings, topic_id: str | None, message: Message | None) -> InViews:
    """Return how the views stand. Raises Unavailable, and StreamStopped for keys that the tally did not write."""
    views = settings.views
    window = Window.of_seconds(views.window_seconds, views.bucket_seconds, views.max_future_seconds)
    client = connect_redis(settings.redis)
    try:
        state = Counts(client, settings.redis.namespace, window, stream_of(settings)).state()
        present = state.window or window
        offset = None
        if state.offsets and message is not None:
            offset = state.offsets.get(message.partition, 0)  # a partition without one is new
        counts = () if message is None else _counts(client, settings.redis.namespace, message, present)
    finally:
        client.close()
    is_same = topic_id is None or state.topic_id in (topic_id, None)
    return InViews(is_same, offset, present, state.as_of_ms, counts)


def _counts(client: Any, namespace: str, message: Message, window: Window) -> tuple[int | None, ...]:
    """Return how many events the message's bucket has for each of its members."""
    if message.time is None or not message.members:
        return ()
    prefix, bucket = Keys.live(namespace).bucket_prefix, bucket_of(message.time, window)
    with reaching(client), client.pipeline(transaction=False) as pipe:
        for dimension, member in message.members:
            pipe.hget(f"{prefix}{bucket}:{dimension}:{COUNT}", member)
        answers = cast("list[str | None]", pipe.execute())
    return tuple(int(text) if text and text.isdigit() else None for text in answers)
