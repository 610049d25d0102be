"""The identity of a topic: a recreated topic has the same name and offsets, but another UUID."""

from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Kafka, variable


def topic_id(kafka: Kafka, topic: str) -> str:
    """Return the UUID of a topic, as text. Raises Unavailable when Kafka or the topic is not there."""
    with admin(kafka) as client:
        described = client.describe_topics([topic])
    identity = described[0]["topic_id"] if described else None
    if not identity:
        raise missing_topic(kafka, topic)
    return str(identity)


def missing_topic(kafka: Kafka, topic: str) -> Unavailable:
    """Return what to tell the operator when a topic is not there."""
    return Unavailable(
        f"Kafka at {kafka.bootstrap_servers} has no topic {topic} that could be read.",
        f"The relay creates it when it starts; {variable('topic', kafka.stream)} names it.",
    )
