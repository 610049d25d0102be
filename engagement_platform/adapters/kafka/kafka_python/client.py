"""The client kafka-python: what the port asks of one (`port.Client`)."""

from engagement_platform.adapters.kafka.kafka_python.admin import KafkaPythonAdmin
from engagement_platform.adapters.kafka.kafka_python.consumer import KafkaPythonConsumer
from engagement_platform.adapters.kafka.kafka_python.plain import KafkaPythonPlainProducer
from engagement_platform.adapters.kafka.kafka_python.producer import KafkaPythonFencedProducer

open_admin, open_consumer = KafkaPythonAdmin, KafkaPythonConsumer
open_fenced, open_plain = KafkaPythonFencedProducer, KafkaPythonPlainProducer
