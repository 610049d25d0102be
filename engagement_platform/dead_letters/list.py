"""Lists dead letters, each with what was done with it."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from engagement_platform.adapters.kafka.dead_letters import DeadLetterReader, open_dead_letters
from engagement_platform.adapters.platform.dead_letters import DeadLetterActions, open_actions
from engagement_platform.domain.dead_letters import Address, Chosen, Letter
from engagement_platform.domain.trace.facts import Letters
from engagement_platform.settings import Settings


class DeadLetters:
    """The letters in Kafka beside the actions in the platform database. Methods raise Unavailable."""

    def __init__(self, reader: DeadLetterReader, actions: DeadLetterActions) -> None:
        self._reader = reader
        self.actions = actions
        self.topic_id = reader.topic_id

    def version(self) -> Hashable:
        """Return what changes with the letters, and with what is done with them. Cheap, however many there are."""
        return (self.topic_id, self._reader.extent(), self.actions.version())

    def ends(self) -> list[Address]:
        """Return of each partition the address behind the last letter that is there now."""
        return [Address(partition, end) for partition, _, end in self._reader.extent()]

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

    def of_event(self, event_id: int, since: datetime | None, has_time: Callable[[], bool]) -> Letters:
        """Return the letters of an event that were written at a time or later, the oldest first.

        They are looked for among all, for as long as there is time.
        """
        found, actions = [], self.actions.all()
        for letter in self._reader.between(since):
            if letter.content.event_id == event_id:
                found.append(replace(letter, actions=actions.get(letter.address, ())))
            if not has_time():
                return Letters(_by_time(found), is_complete=False)
        return Letters(_by_time(found))


def _by_time(letters: Sequence[Letter]) -> tuple[Letter, ...]:
    return tuple(sorted(letters, key=lambda letter: letter.content.at))


@contextmanager
def dead_letters_of(settings: Settings, *, alone: bool = False) -> Iterator[DeadLetters]:
    """Connect. With `alone` nobody else acts on letters meanwhile: raises EngagementError when somebody does."""
    with (
        open_dead_letters(settings.kafka, settings.topics.dead_letters) as reader,
        open_actions(settings, reader.topic_id, alone=alone) as actions,
    ):
        yield DeadLetters(reader, actions)
