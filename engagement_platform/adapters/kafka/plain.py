"""Sends messages outside of the relay's transaction: at least once, in order, and confirmed."""

from collections.abc import Iterable
from contextlib import closing

from engagement_platform.adapters.kafka.client import client_of
from engagement_platform.adapters.kafka.port import Message
from engagement_platform.domain.dead_letters import DeadLetter, encode_dead_letter
from engagement_platform.settings import Kafka


def send_all(kafka: Kafka, messages: Iterable[Message], largest_message: int = 1 << 20) -> int:
    """Send messages as they come and return how many Kafka has, which is all of them. Raises Unavailable.

    When it raises, a first part of the messages has been sent.
    """
    with closing(client_of(kafka).open_plain(kafka, largest_message)) as producer:
        return producer.send_all(messages)


def send_dead_letters(kafka: Kafka, topic: str, letters: Iterable[DeadLetter]) -> None:
    """Write letters to the topic of dead letters; Kafka has them all afterwards. Raises Unavailable."""
    send_all(kafka, (_message(topic, letter) for letter in letters))


def _message(topic: str, letter: DeadLetter) -> Message:
    key = None if letter.event_id is None else b"%d" % letter.event_id
    return Message(topic, key, encode_dead_letter(letter))
