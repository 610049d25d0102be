"""Copies of what Kafka has, in the platform database: written in the background, and never waited for."""

import logging
from collections.abc import Callable, Sequence
from typing import Self

from engagement_platform.adapters.platform.connection import CONNECT_SECONDS, Session
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.settings import Settings

WRITE_SECONDS = 1.0

Write = Callable[[Session], None]


class Copier:
    """Writes what is new from a thread of its own, about once a second, while the block runs.

    `news` returns what is to be written at this moment, `last_news` what is at the end. A write that raises comes again
    with the next news, over a new connection.
    """

    def __init__(
        self,
        settings: Settings,
        purpose: str,
        news: Callable[[], Sequence[Write]],
        log: logging.Logger,
        last_news: Callable[[], Sequence[Write]] | None = None,
    ) -> None:
        self.session = Session(settings, purpose)
        """Of the thread."""
        self._last_news = last_news or news
        self._thread = Repeated(purpose, lambda: self._write(news()), WRITE_SECONDS, log=log, at_end=self._end)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left, within a few seconds; a database that is away is not waited for."""
        self._thread.close(CONNECT_SECONDS + 1 if self._thread.works else 0.0)

    def _write(self, news: Sequence[Write]) -> None:
        for write in news:
            write(self.session)

    def _end(self) -> None:
        try:
            self._write(self._last_news())
        finally:
            self.session.close()
