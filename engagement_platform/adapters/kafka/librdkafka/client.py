"""The client librdkafka, by confluent-kafka: what the port asks of one (`port.Client`)."""

from engagement_platform.adapters.kafka.librdkafka.admin import open_admin
from engagement_platform.adapters.kafka.librdkafka.consumer import open_consumer
from engagement_platform.adapters.kafka.librdkafka.plain import open_plain
from engagement_platform.adapters.kafka.librdkafka.producer import open_fenced

__all__ = ["open_admin", "open_consumer", "open_fenced", "open_plain"]
