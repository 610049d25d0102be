"""Lists dead letters, each with what was done with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engagement_platform.adapters.kafka.dead_letters import LetterReader, open_letters
from engagement_platform.adapters.platform.dead_letters import LetterActions, open_actions
from engagement_platform.domain.dead_letters import Chosen, Letter
from engagement_platform.settings import Settings


class Letters:
    """The letters in Kafka beside the actions in the platform database. Methods raise Unavailable."""

    def __init__(self, reader: LetterReader, actions: LetterActions) -> None:
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
def letters_of(settings: Settings, *, alone: bool = False) -> Iterator[Letters]:
    """Connect. With `alone` nobody else acts on letters meanwhile: raises EngagementError when somebody does."""
    with open_letters(settings) as reader, open_actions(settings, reader.topic_id, alone=alone) as actions:
        yield Letters(reader, actions)
