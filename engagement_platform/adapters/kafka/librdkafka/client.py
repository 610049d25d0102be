"""The client librdkafka, by confluent-kafka: what the port asks of one (`port.Client`)."""

from engagement_platform.adapters.kafka.librdkafka.admin import LibrdkafkaAdmin
from engagement_platform.adapters.kafka.librdkafka.consumer import LibrdkafkaConsumer
from engagement_platform.adapters.kafka.librdkafka.plain import LibrdkafkaPlainProducer
from engagement_platform.adapters.kafka.librdkafka.producer import LibrdkafkaFencedProducer

open_admin, open_consumer = LibrdkafkaAdmin, LibrdkafkaConsumer
open_fenced, open_plain = LibrdkafkaFencedProducer, LibrdkafkaPlainProducer
