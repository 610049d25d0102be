"""Makes the dead letters of events that the partner refuses."""

from datetime import UTC, datetime

from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS, DeadLetter, kept
from engagement_platform.domain.delivery.parcels import Failed
from engagement_platform.domain.signing import event_key

SOURCE = "forward"
"""How its dead letters name it."""


def dead_letter_of(failed: Failed, stream: str, largest: int) -> DeadLetter:
    """Return the dead letter of an event that could not be delivered. Its topic takes `largest` bytes."""
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
