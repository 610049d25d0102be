"""Sends dead letters outside of the relay's transaction: at least once, and confirmed."""

from collections.abc import Iterable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from engagement_platform.adapters.kafka.connection import MAX_BLOCK_MS, options, unavailable
from engagement_platform.domain.event import DeadLetter, encode_dead_letter
from engagement_platform.settings import Settings


def send_letters(settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Write letters to the dead-letter topic and wait until Kafka has them all. Raises Unavailable."""
    try:
        producer = KafkaProducer(
            **options(settings), acks="all", request_timeout_ms=MAX_BLOCK_MS, delivery_timeout_ms=2 * MAX_BLOCK_MS
        )
        try:
            sent = [
                producer.send(settings.dead_letter_topic, encode_dead_letter(letter), key=_key(letter))
                for letter in letters
            ]
            for result in sent:
                result.get(2 * MAX_BLOCK_MS / 1000)
        finally:
            producer.close(timeout=1)
    except KafkaError as error:
        raise unavailable(settings, error) from error


def _key(letter: DeadLetter) -> bytes | None:
    return None if letter.event_id is None else b"%d" % letter.event_id
