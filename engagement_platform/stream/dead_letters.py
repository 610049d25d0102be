"""Keeps what a loop gives up in the topic of dead letters. The relay's go into its transactions instead."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property

from engagement_platform.adapters.kafka.plain import send_dead_letters
from engagement_platform.adapters.kafka.topics import topic_configuration
from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.dead_letters import DeadLetter, kept
from engagement_platform.settings import Settings

_MAX_BYTES = 1 << 20
"""Of a dead letter, whatever its topic would take."""


class DeadLetterWriter:
    """The dead letters of one loop, for as long as it is connected. Methods raise Unavailable."""

    def __init__(self, settings: Settings, loop: str) -> None:
        self._kafka = settings.kafka
        self._topic = settings.topics.dead_letters
        self._loop = loop
        self._log = logging.getLogger(f"engagement_platform.{loop}")

    @cached_property
    def largest(self) -> int:
        """How many bytes a dead letter has at most."""
        return min(int(topic_configuration(self._kafka, self._topic)["max.message.bytes"]), _MAX_BYTES)

    def keep(self, letters: Iterable[DeadLetter]) -> None:
        """Write dead letters to their topic; Kafka has them all afterwards."""
        send_dead_letters(self._kafka, self._topic, letters)

    def keep_rejected(self, rejected: Sequence[Rejected]) -> None:
        """Keep messages that are no events, each as a whole where it is JSON."""
        if not rejected:
            return
        self._log.warning("%d messages are no events, the first: %s", len(rejected), rejected[0].reason)
        now = datetime.now(UTC)
        self.keep(
            DeadLetter(
                source=self._loop,
                event_id=one.id,
                reason=one.reason,
                excerpt=one.excerpt,
                at=now,
                event=kept(one.value, self.largest),
            )
            for one in rejected
        )
