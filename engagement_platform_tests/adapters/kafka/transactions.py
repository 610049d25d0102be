"""What tests commit, and what is there afterwards."""

from collections.abc import Callable, Iterator, Sequence

from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import read_all


def batch(settings: Settings, events: int = 3) -> list[Message]:
    """Return events without a key, one with, and a checkpoint, as the relay sends them."""
    keyless = [Message(settings.topics.events, None, b"%d" % n) for n in range(events)]
    return [
        *keyless,
        Message(settings.topics.events, b"key", b"keyed"),
        Message(settings.topics.checkpoint, b"relay", b"{}"),
    ]


def values(messages: Sequence[Message]) -> list[bytes]:
    return sorted(message.value for message in messages)


def committed(settings: Settings) -> list[bytes]:
    topics = (settings.topics.events, settings.topics.checkpoint, settings.topics.dead_letters)
    return sorted(record.value for topic in topics for record in read_all(settings, topic))


def left(settings: Settings) -> list[bytes]:
    """Return what is committed once a successor has ended what a commit that failed has left open."""
    with open_producer(settings, 1_000_000) as successor:
        successor.fence()
    return committed(settings)


class Interrupted(list[Message]):
    """Messages in the midst of which something happens, while a client sends them."""

    def __init__(self, messages: Sequence[Message], client: str, happen: Callable[[], object]) -> None:
        super().__init__(messages)
        self._happen = happen
        self._passes = {"kafka-python": 1, "librdkafka": 0}[client]
        """How often the client looks through them before it sends them."""

    def __iter__(self) -> Iterator[Message]:
        self._passes -= 1
        for number, message in enumerate(super().__iter__()):
            if number == len(self) - 1 and self._passes < 0:
                self._happen()
            yield message
