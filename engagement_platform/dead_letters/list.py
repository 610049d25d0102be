"""Lists dead letters, each with what was done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engagement_platform.adapters.kafka.dead_letters import DeadLetterReader, open_dead_letters
from engagement_platform.adapters.platform.dead_letters import DeadLetterActions, open_actions
from engagement_platform.domain.dead_letters import Chosen, Letter
from engagement_platform.settings import Settings


class DeadLetters:
    """The letters in Kafka beside the actions in the platform database. Methods raise Unavailable."""

    def __init__(self, reader: DeadLetterReader, actions: DeadLetterActions) -> None:
        self._reader = reader
        self.actions = actions
        self.topic_id = reader.topic_id

    def chosen(self, chosen: Chosen) -> Iterator[Letter]:
        """Yield the letters that are meant, by address, as they stand now. To be taken without long pauses."""
        actions = self.actions.all()
        if chosen.addresses:
            letters = self._reader.at(chosen.addresses)
        else:
            letters = self._reader.between(chosen.since, chosen.until)
        for letter in letters:
            told = replace(letter, actions=actions.get(letter.address, ()))
            if chosen.has(told):
                yield told


@contextmanager
def dead_letters_of(settings: Settings, *, alone: bool = False) -> Iterator[DeadLetters]:
    """Connect. With `alone` nobody else acts on letters meanwhile: raises EngagementError when somebody does."""
    with (
        open_dead_letters(settings.kafka, settings.topics.dead_letters) as reader,
        open_actions(settings, reader.topic_id, alone=alone) as actions,
    ):
        yield DeadLetters(reader, actions)
