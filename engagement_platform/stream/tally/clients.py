"""Connects to everything that the tally needs."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import Counts
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import loop_named
from engagement_platform.stream.topic_watch import TopicWatch, watching, window_of

log = logging.getLogger("engagement_platform.tally")


@contextmanager
def connected(
    settings: Settings, stream: EventStream, shard: Shard = WHOLE
) -> Iterator[tuple[TopicReader, Counts, TopicWatch]]:
    """Connect to everything, before the claim."""
    with ExitStack() as stack:
        client = stack.enter_context(connect_redis(settings.redis))
        counts = Counts(client, settings.redis.namespace, window_of(settings.views), stream, shard)
        counts.check_policy()
        reader = TopicReader(settings.kafka, settings.topics.events, shard=shard, without_duplicates=True)
        stack.enter_context(closing(reader))
        yield reader, counts, stack.enter_context(watching(settings, loop_named("tally"), log))
