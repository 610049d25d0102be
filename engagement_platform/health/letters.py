"""Counts the dead letters of a stream, which lie in Kafka, beside what was done with them."""

from collections.abc import Hashable

from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.open_letters import LetterCounts, counted
from engagement_platform.settings import Settings


class LetterWatch:
    """Looks at the letters of a stream again and again; reads them only where something has changed. For one thread.

    Each look connects to Kafka and to the platform's database: some hundredths of a second.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._version: Hashable = None
        self._counts = LetterCounts()

    def counts(self) -> LetterCounts | str:
        """Return how many letters there are, or why that is not known."""
        try:
            with dead_letters_of(self._settings) as letters:
                version = letters.version()
                if version != self._version:
                    self._counts, self._version = counted(letters.chosen(Chosen())), version
        except EngagementError as error:
            return str(error)
        return self._counts
