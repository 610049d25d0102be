"""Reads the messages of one batch: their events, and when their transactions had not been seen."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.messages import HEADER_UNSEEN_AT
from engagement_platform.domain.rejections import Judged

log = logging.getLogger("engagement_platform.tally")


def decoded(
    records: Mapping[int, list[Record]], read: Callable[[bytes | None], Any | None]
) -> tuple[list[Any], Judged, str]:
    """Return the events, which messages are none, and the first of those in words, for which there is a line of log.

    What is no event cannot be counted.
    """
    events: list[Any] = []
    rejected: dict[Hashable, list[int]] = {}
    first = ""
    for partition, messages in records.items():
        for at, message in enumerate(messages):
            event = read(message.value)
            if event is not None:
                events.append(event)
                continue
            first = first or f"not an event: {message.topic}, partition {partition}, offset {message.offset}"
            rejected.setdefault(partition, []).append(at)
    if first:
        log.warning("%s", first)
    return events, Judged({partition: len(messages) for partition, messages in records.items()}, rejected), first


def offsets_of(records: Mapping[int, list[Record]]) -> dict[int, tuple[int, int]]:
    """Return partition -> first and last offset of what was read."""
    return {partition: (messages[0].offset, messages[-1].offset) for partition, messages in records.items() if messages}


def unseen_at(records: Mapping[int, list[Record]]) -> dict[int, int]:
    """Return how many messages carry each time of the `unseen-at` header. Few differ within a batch."""
    texts = Counter(
        value for messages in records.values() for m in messages for key, value in m.headers if key == HEADER_UNSEEN_AT
    )
    return {int(text): times for text, times in texts.items() if text and text.isdigit()}
