"""The client kafka-python: what the port asks of one (`port.Client`)."""

from engagement_platform.adapters.kafka.kafka_python.admin import open_admin
from engagement_platform.adapters.kafka.kafka_python.consumer import open_consumer
from engagement_platform.adapters.kafka.kafka_python.plain import open_plain
from engagement_platform.adapters.kafka.kafka_python.producer import open_fenced

__all__ = ["open_admin", "open_consumer", "open_fenced", "open_plain"]
