"""Copies of what Kafka has, in the platform database: written in the background, and never waited for."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from engagement_platform.adapters.platform.connection import CONNECT_SECONDS, Session
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.settings import Settings

WRITE_SECONDS = 1.0

Write = Callable[[Session], None]


class Copier(ABC):
    """Writes what is new from a thread of its own, about once a second, while the block runs.

    A write that raises comes again with the next news, over a new connection.
    """

    def __init__(self, settings: Settings, purpose: str, log: logging.Logger) -> None:
        self.session = Session(settings, purpose)
        """Of the thread."""
        write = partial(self._carry_out, self._news)
        self._thread = Repeated(purpose, write, WRITE_SECONDS, log=log, at_end=self._end)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left, within a few seconds; a database that is away is not waited for."""
        self._thread.close(CONNECT_SECONDS + 1 if self._thread.works else 0.0)

    @abstractmethod
    def _news(self) -> Sequence[Write]:
        """Return what is to be written at this moment."""

    def _last_news(self) -> Sequence[Write]:
        """Return what is to be written at the end."""
        return self._news()

    def _carry_out(self, news: Callable[[], Sequence[Write]]) -> None:
        for write in news():
            write(self.session)

    def _end(self) -> None:
        try:
            self._carry_out(self._last_news)
        finally:
            self.session.close()
