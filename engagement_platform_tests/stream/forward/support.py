"""What tests of forward share: events in Kafka without a source, and what the partner and the letters have of them."""

import json
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_replay_topic, ensure_topics
from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.local.receiver import Delivery, Receiver
from engagement_platform.settings import Settings
from engagement_platform_tests.partner import message
from engagement_platform_tests.streaming import read_all

CONTENTS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(10)]


def content_of(number: int) -> str:
    return CONTENTS[number % len(CONTENTS)]


def publish(
    settings: Settings, numbers: Iterable[int], topic: str = "", headers: Iterable[tuple[str, bytes]] = ()
) -> list[int]:
    """Put events into the topic, or another one, as the relay does."""
    ensure_topics(settings)
    ensure_replay_topic(settings)
    ids = list(numbers)
    unseen = ("unseen-at", str(time.time_ns() // 1_000).encode())
    send_all(
        settings.kafka,
        (
            Message(
                topic or settings.topics.events,
                content_of(number).encode(),
                message(number, content_id=content_of(number), user_id="6f1c2a34-0000-4000-8000-0000000000ab"),
                (unseen, *headers),
            )
            for number in ids
        ),
    )
    return ids


def ids_of(deliveries: Iterable[Delivery]) -> list[int]:
    """Return the ids of deliveries, in their order."""
    return [int(each.key.rpartition("-")[2]) for each in deliveries]


def received(receiver: Receiver) -> set[int]:
    return set(ids_of(list(receiver.deliveries)))


def letters(settings: Settings) -> list[DeadLetter]:
    return [
        msgspec.json.decode(record.value, type=DeadLetter)
        for record in read_all(settings, settings.topics.dead_letters)
    ]


def letter_ids(settings: Settings) -> set[int]:
    return {letter.event_id for letter in letters(settings) if letter.event_id is not None}


def out_of_order(deliveries: Iterable[Delivery]) -> list[Any]:
    """Return the contents whose events, each at its first arrival, did not come by ascending id."""
    first: dict[str, Delivery] = {}
    for each in deliveries:
        first.setdefault(each.key, each)
    last: dict[str | None, int] = {}
    wrong = []
    for each in first.values():
        (number,) = ids_of([each])
        if each.content_id is not None and last.get(each.content_id, -1) > number:
            wrong.append((each.content_id, last[each.content_id], number))
        last[each.content_id] = max(number, last.get(each.content_id, -1))
    return wrong


def value_of(letter: DeadLetter) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(bytes(letter.event))
    return found
