"""What tests of dead letters share: letters in the topic, and how they stand."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from engagement_platform.adapters.kafka.plain import send_dead_letters
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.dead_letters import Chosen, DeadLetter, Letter
from engagement_platform.settings import Settings
from engagement_platform_tests.partner import message


def letter(number: int | None, source: str = "forward", *, keeps: bool = True, **changes: Any) -> DeadLetter:
    """A letter of an event, which it keeps or not."""
    values: dict[str, Any] = {
        "source": source,
        "event_id": number,
        "reason": "status 422",
        "excerpt": f'{{"id":{number}',
        "at": datetime.now(UTC),
    }
    if keeps and number is not None:
        values["event"] = msgspec.Raw(message(number))
    return DeadLetter(**values | changes)


def bury(settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Write letters."""
    ensure_topics(settings)
    send_dead_letters(settings.kafka, settings.topics.dead_letters, letters)


def found(settings: Settings, chosen: Chosen | None = None) -> list[Letter]:
    """Return the letters as they stand."""
    with dead_letters_of(settings) as letters:
        return list(letters.chosen(chosen or Chosen()))


def states(settings: Settings) -> dict[int | None, str]:
    """Return event -> what has become of its last letter."""
    return {each.content.event_id: each.state.value for each in found(settings)}
