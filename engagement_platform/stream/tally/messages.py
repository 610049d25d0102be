"""Reads the messages of one batch: their events, and when their transactions had not been seen."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.messages import HEADER_UNSEEN_AT

log = logging.getLogger("engagement_platform.tally")


def decoded(records: Mapping[int, list[Record]], read: Callable[[bytes | None], Any | None]) -> tuple[list[Any], int]:
    """Return the events, and how many messages are none. Those cannot be counted; one line a batch names the first."""
    events: list[Any] = []
    unreadable = 0
    for partition, messages in records.items():
        for message in messages:
            event = read(message.value)
            if event is not None:
                events.append(event)
                continue
            if not unreadable:
                log.warning("not an event: %s, partition %d, offset %d", message.topic, partition, message.offset)
            unreadable += 1
    return events, unreadable


def unseen_at(records: Mapping[int, list[Record]]) -> dict[int, int]:
    """Return how many messages carry each time of the `unseen-at` header. Few differ within a batch."""
    texts = Counter(
        value for messages in records.values() for m in messages for key, value in m.headers if key == HEADER_UNSEEN_AT
    )
    return {int(text): times for text, times in texts.items() if text and text.isdigit()}
