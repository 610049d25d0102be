"""The identity of a topic: a recreated topic has the same name and offsets, but another UUID."""

from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings


def topic_id(settings: Settings) -> str:
    """Return the UUID of the topic of events, as text. Raises Unavailable when Kafka or the topic is not there."""
    with admin(settings) as client:
        described = client.describe_topics([settings.topic])
    found = described[0]["topic_id"] if described else None
    if not found:
        raise missing_topic(settings)
    return str(found)


def missing_topic(settings: Settings) -> Unavailable:
    """Return what to tell the operator when the topic is not there."""
    return Unavailable(
        f"Kafka at {settings.kafka_bootstrap_servers} has no topic {settings.topic} that could be read.",
        "The relay creates it when it starts; ENGAGEMENT_TOPIC names it.",
    )
