"""A producer of librdkafka: what it takes, what it reports, and how it is given up."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.connection import Reports, make
from engagement_platform.adapters.kafka.librdkafka.errors import error_of, unavailable
from engagement_platform.adapters.kafka.port import Message
from engagement_platform.adapters.kafka.refusals import missing_topic
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Kafka

_FIRST_PATIENCE = 0.1
_LOOK_SECONDS = 0.05
_PURGED = {"_PURGE_QUEUE", "_PURGE_INFLIGHT"}
"""Reports of messages that were dropped because another one failed."""


class Deliveries:
    """What became of messages: the first that failed by itself is noted. The library counts the others."""

    def __init__(self) -> None:
        self.failure: KafkaError | None = None

    def note(self, error: KafkaError | None, _: object) -> None:
        """Note the report of one message."""
        if self.failure is None and error is not None and error.name() not in _PURGED:
            self.failure = error


class Sender:
    """A producer. Nothing else refers to it, no frame of an error either: it ends when this one drops it."""

    def __init__(self, kafka: Kafka, largest_message: int, chosen: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._reports, self._deliveries = Reports(kafka), Deliveries()
        self.producer = make(
            Producer,
            kafka,
            self._reports,
            {
                "partitioner": "murmur2_random",  # as every other Kafka client: the partition of a key stays
                "linger.ms": 5,  # a commit or a flush sends at once what is there
                "batch.size": 262_144,
                "message.max.bytes": largest_message + 262_144,
                "on_delivery": self._deliveries.note,
                "delivery.report.only.error": True,
                **chosen,
            },
        )

    def meet(self, topics: Collection[str]) -> None:
        """Wait until it is connected and knows topics. Raises Unavailable, also where one is not there."""
        deadline = time.monotonic() + connection.BOOTSTRAP_MS / 1000
        for topic in topics:
            error = self._look_up(topic, deadline)
            if error is not None:
                told = unavailable(self._kafka, error)
                raise told if isinstance(told, Refused) else missing_topic(self._kafka, topic)

    def _look_up(self, topic: str, deadline: float) -> KafkaError | None:
        """Return what is wrong with a topic, once a broker has answered. Raises Unavailable."""
        patience = _FIRST_PATIENCE
        while True:
            left = max(0.001, deadline - time.monotonic())
            try:
                return self.producer.list_topics(topic, timeout=min(patience, left)).topics[topic].error  # type: ignore[no-any-return]
            except KafkaException as failure:
                self.producer.poll(0)
                if self._reports.refused is not None or time.monotonic() > deadline:
                    raise self._reports.explain(error_of(failure)) from failure
            patience *= 2

    def takes(self, message: Message) -> bool:
        """Take a message to send; say no where there are too many already. Raises KafkaException."""
        topic, key, value, headers = message
        try:
            self.producer.produce(topic, value, key, headers=list(headers) or None)
        except BufferError:
            return False
        return True

    def failures(self, patience: float = 0.0) -> Iterator[KafkaError]:
        """Yield why a message was not delivered, and what ended the producer, if anything.

        That is waited for, some seconds at most: the library refuses messages first, and tells why a moment later.
        """
        deadline = time.monotonic() + patience
        try:
            self.producer.poll(0)
            while time.monotonic() < deadline:
                self.producer.poll(_LOOK_SECONDS)
        except KafkaException as fatal:
            if self._deliveries.failure is not None:
                yield self._deliveries.failure
            yield error_of(fatal)
            return
        if self._deliveries.failure is not None:
            yield self._deliveries.failure

    @property
    def failure(self) -> KafkaError | None:
        """Why the first message that failed was not delivered."""
        return self._deliveries.failure

    def close(self) -> None:
        """End it, and drop what it has not sent; its own way to close waits for a broker, however long."""
        with suppress(KafkaException):
            self.producer.purge()
        del self.producer
