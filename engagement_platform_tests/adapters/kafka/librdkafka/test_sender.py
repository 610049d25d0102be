"""What ended a producer is told a moment after it refuses messages."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException

from engagement_platform.adapters.kafka.librdkafka.sender import Deliveries, Sender


class Late:
    """A producer that tells with its third poll that it was fenced."""

    polls = 0

    def poll(self, _: float) -> int:
        self.polls += 1
        if self.polls == 3:
            raise KafkaException(KafkaError(KafkaError._FENCED))
        return 0


def sender(producer: Any) -> Sender:
    made = Sender.__new__(Sender)
    made._deliveries, made.producer = Deliveries(), producer
    return made


def test_what_ended_it_is_waited_for() -> None:
    assert [error.name() for error in sender(Late()).failures(10.0)] == ["_FENCED"]


def test_a_message_that_was_dropped_because_of_another_says_nothing() -> None:
    deliveries = Deliveries()
    for code in (
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError._FENCED,
    ):
        deliveries.note(KafkaError(code), None)
    assert deliveries.failure is not None
    assert deliveries.failure.name() == "MSG_SIZE_TOO_LARGE"


def test_where_nothing_ended_it_nothing_is_waited_for() -> None:
    producer = Late()
    assert list(sender(producer).failures()) == []
    assert producer.polls == 1
