"""Makes the dead letters of forward: of events that the partner refuses, and of messages that are no events."""

from collections.abc import Iterable
from datetime import UTC, datetime

from engagement_platform.domain.batches import Rejected
from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS, DeadLetter, kept
from engagement_platform.domain.delivery.parcels import Failed
from engagement_platform.domain.signing import event_key

SOURCE = "forward"
"""How its dead letters name it."""


def letters(failed: Iterable[Failed], stream: str, largest: int) -> list[DeadLetter]:
    """Return the letters of events that could not be delivered. Their topic takes messages up to `largest` bytes."""
    return [_letter(event, stream, largest) for event in failed]


def _letter(failed: Failed, stream: str, largest: int) -> DeadLetter:
    event = failed.event
    return DeadLetter(
        source=SOURCE,
        event_id=event.id,
        reason=failed.reason,
        excerpt=event.value.decode()[:EXCERPT_CHARACTERS],
        at=datetime.now(UTC),
        status=failed.status,
        response=failed.response or None,
        first_try=failed.first_try,
        last_try=failed.last_try,
        event=kept(event.value, largest),
        key=event_key(stream, event.id),
    )


def dead_letter_of_rejected(rejected: Rejected, largest: int) -> DeadLetter:
    """Return the letter of a message that is no event; it is kept all the same where it is JSON."""
    return DeadLetter(
        source=SOURCE,
        event_id=rejected.id,
        reason=rejected.reason,
        excerpt=rejected.excerpt,
        at=datetime.now(UTC),
        event=kept(rejected.value, largest),
    )
