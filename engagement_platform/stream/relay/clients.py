"""Connects to everything that the relay needs."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from engagement_platform.adapters.kafka.checkpoints import Checkpoints, open_checkpoints
from engagement_platform.adapters.kafka.producer import FencedProducer, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics, topic_configuration
from engagement_platform.adapters.platform.mirror import Mirror
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.source.reader import Source, open_source
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.domain.messages import largest_value
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import loop_named
from engagement_platform.stream.topic_watch import TopicWatch, watching

log = logging.getLogger("engagement_platform.relay")


@dataclass(frozen=True, slots=True)
class Clients:
    """The connections of one attempt."""

    source: Source
    producer: FencedProducer
    checkpoints: Checkpoints
    mirror: Mirror
    limits: Limits
    largest_message: int
    largest_letter: int
    watch: TopicWatch


@contextmanager
def connected(settings: Settings) -> Iterator[Clients]:
    """Connect to everything, before the claim: the hand-over then costs one round trip to each."""
    ensure_topics(settings)
    max_message, max_letter = (
        int(topic_configuration(settings.kafka, topic)["max.message.bytes"])
        for topic in (settings.topics.events, settings.topics.dead_letters)
    )
    limits = limits_of(settings, max_message)
    with ExitStack() as stack:
        yield Clients(
            stack.enter_context(open_source(origin_of(settings))),
            stack.enter_context(open_producer(settings, max_message)),
            stack.enter_context(open_checkpoints(settings)),
            stack.enter_context(Mirror(settings)),
            limits,
            max_message,
            min(max_letter, max_message),
            stack.enter_context(watching(settings, loop_named("relay"), log)),
        )


def limits_of(settings: Settings, max_message: int) -> Limits:
    """Return where a read ends, for a topic that takes messages of so many bytes."""
    return Limits(settings.relay.batch_rows, settings.relay.batch_bytes, largest_value(max_message))
