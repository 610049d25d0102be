"""The relay's producer: events, dead letters and checkpoint in one transaction that only one relay can commit."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.port import Fenced, FencedProducer, Message
from engagement_platform.settings import Settings

__all__ = ["Fenced", "FencedProducer", "Message", "open_producer", "transactional_id"]


def transactional_id(settings: Settings) -> str:
    """Return by what Kafka knows the relay of a topic, whichever process runs it."""
    return f"engagement-relay-{settings.topics.events}"


@contextmanager
def open_producer(settings: Settings, largest_message: int) -> Iterator[FencedProducer]:
    """Connect, without fencing anybody yet; `largest_message` is the topic's limit in bytes. Raises Unavailable."""
    topics = (settings.topics.events, settings.topics.checkpoint)
    client = client_of(settings.kafka)
    with closing(client.open_fenced(settings.kafka, transactional_id(settings), topics, largest_message)) as producer:
        yield producer
