"""Keeps the messages that are no events: in the batch folder, and as dead letters."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from engagement_platform.adapters.kafka.plain import send_dead_letters
from engagement_platform.adapters.kafka.topics import topic_configuration
from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.dead_letters import DeadLetter, kept
from engagement_platform.settings import Settings
from engagement_platform.stream.stage import batch_files
from engagement_platform.stream.stage.batch import WRITER

log = logging.getLogger("engagement_platform.stage")

_MAX_LETTER_BYTES = 1 << 20
"""Of a letter, whatever its topic would take."""


def bury(settings: Settings, rejected: Sequence[Rejected], name: str) -> None:
    """Keep what was rejected where people find it. A stage that dies after this does it again."""
    if not rejected:
        return
    log.warning("%d messages are no events, the first: %s", len(rejected), rejected[0].reason)
    batch_files.keep_rejected(batch_files.folder_of(settings), name, rejected)
    topic, now = settings.topics.dead_letters, datetime.now(UTC)
    largest = min(int(topic_configuration(settings.kafka, topic)["max.message.bytes"]), _MAX_LETTER_BYTES)
    send_dead_letters(settings.kafka, settings.topics.dead_letters, (_letter(one, now, largest) for one in rejected))


def _letter(rejected: Rejected, now: datetime, largest: int) -> DeadLetter:
    return DeadLetter(
        source=WRITER,
        event_id=rejected.id,
        reason=rejected.reason,
        excerpt=rejected.excerpt,
        at=now,
        event=kept(rejected.value, largest),
    )
