"""The identity of a topic: a recreated topic has the same name and offsets, but another UUID."""

from engagement_platform.adapters.kafka.refusals import missing_topic
from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.settings import Kafka


def topic_id(kafka: Kafka, topic: str) -> str:
    """Return the UUID of a topic, as text. Raises Unavailable when Kafka or the topic is not there."""
    with admin(kafka) as client:
        identity = client.topic_id(topic)
    if identity is None:
        raise missing_topic(kafka, topic)
    return identity
