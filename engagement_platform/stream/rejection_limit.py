"""Keeps a loop from giving up message after message: it stops, looks for an operator's decision, and goes on after it.

One for each loop and process, so that attempts share it. A new process begins with `FIRST_ALLOWED`; what waits is read
in one go then, so that it stops again without a dead letter where more than that is rejected.
"""

import logging
import time
from collections.abc import Hashable, Iterator, Set
from contextlib import contextmanager, suppress

from engagement_platform.adapters.platform.decisions import Decisions, subject_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.loop_state import LoopState, state_of
from engagement_platform.domain.rejections import Judged, Rejections, too_many
from engagement_platform.settings import Settings

log = logging.getLogger("engagement_platform.rejections")


class RejectionLimit:
    """The limit of one loop. `require` the messages in hand before anything is made of them, then say `done`."""

    def __init__(self, settings: Settings, loop: str) -> None:
        self._settings = settings
        self._loop = loop
        self._subject = subject_of(settings, loop)
        self._rejections = Rejections()
        self._next = self._rejections
        self._handled: Set[Hashable] = frozenset()
        """The lanes of the messages last required."""
        self._lanes: Set[Hashable] = frozenset()
        """Those with messages over the limit, until messages of them are handled."""
        self._state: LoopState | None = None

    def require(self, judged: Judged, reason: str = "") -> None:
        """Raise StreamStopped when too many of the messages in hand were rejected. `reason` is that of the first.

        Nothing is counted before `done`, so that what is tried again after a failure counts once.
        """
        after = self._rejections.after(judged)
        if after is None and (granted := self._decided()):
            log.warning("%s gives up to %d messages up that it rejects, as was decided.", self._loop, granted)
            self._rejections = self._rejections.grant(granted)
            after = self._rejections.after(judged)
        if after is None:
            error = too_many(self._loop, judged, reason, self._rejections.given_up)
            self._lanes = frozenset(judged.rejected)
            self._state = state_of(error, time.time())
            raise error
        self._next = after
        self._handled = judged.sizes.keys()

    def done(self) -> None:
        """Note that the messages last required are handled."""
        self._rejections = self._next
        if self._state is not None:
            self._lanes = self._lanes - self._handled
            if not self._lanes:
                self._state = None

    def state(self, lag: int | None) -> LoopState | None:
        """Return why the loop stopped, while it has not gone on with what stopped it; None when nothing waits."""
        return None if lag == 0 else self._state

    def give_back(self) -> None:
        """Leave to the next run what an operator has decided and is not used up."""
        if self._rejections.granted:
            try:
                with Decisions.opened(self._settings, self._loop) as decisions:
                    decisions.give_back(self._subject, self._rejections.granted)
            except Unavailable as error:
                log.warning("What was decided for %s was forgotten, decide again: %s", self._loop, error)

    def _decided(self) -> int:
        """Return how many messages may be given up by decisions that nobody has followed yet."""
        with suppress(Unavailable), Decisions.opened(self._settings, self._loop) as decisions:
            return decisions.take(self._subject)
        return 0


@contextmanager
def rejection_limit(settings: Settings, loop: str) -> Iterator[RejectionLimit]:
    """Make the limit of a loop for as long as the block runs it."""
    limit = RejectionLimit(settings, loop)
    try:
        yield limit
    finally:
        limit.give_back()
