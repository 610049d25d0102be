"""Sends messages outside of the relay's transaction: at least once, in order, and confirmed."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, connect, unavailable
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.domain.dead_letters import DeadLetter, encode_dead_letter
from engagement_platform.settings import Kafka

_IN_FLIGHT = 5_000
_CONFIRM_SECONDS = 2 * MAX_BLOCK_MS / 1000


def send_all(kafka: Kafka, messages: Iterable[Message], largest_message: int = 1 << 20) -> int:
    """Send messages as they come and return how many Kafka has, which is all of them. Raises Unavailable.

    When it raises, a first part of the messages has been sent.
    """
    producer = connect(
        KafkaProducer,
        kafka,
        acks="all",
        metrics_enabled=False,
        linger_ms=5,
        batch_size=262_144,
        max_request_size=largest_message + 262_144,
        max_block_ms=MAX_BLOCK_MS,
        request_timeout_ms=MAX_BLOCK_MS,
        delivery_timeout_ms=2 * MAX_BLOCK_MS,
    )
    unconfirmed: deque[Any] = deque()
    confirmed = 0
    try:
        for topic, key, value, headers in messages:
            unconfirmed.append(producer.send(topic, value, key, list(headers)))
            while len(unconfirmed) > _IN_FLIGHT:
                unconfirmed.popleft().get(_CONFIRM_SECONDS)
                confirmed += 1
        for sent in unconfirmed:
            sent.get(_CONFIRM_SECONDS)
        return confirmed + len(unconfirmed)
    except KafkaError as error:
        raise unavailable(kafka, error) from error
    finally:
        producer.close(timeout=1)


def send_dead_letters(kafka: Kafka, topic: str, letters: Iterable[DeadLetter]) -> None:
    """Write letters to the topic of dead letters; Kafka has them all afterwards. Raises Unavailable."""
    send_all(kafka, (_message(topic, letter) for letter in letters))


def _message(topic: str, letter: DeadLetter) -> Message:
    key = None if letter.event_id is None else b"%d" % letter.event_id
    return Message(topic, key, encode_dead_letter(letter))
