"""Keeps a loop from giving up message after message: it stops, looks for an operator's decision, and goes on after it.

One for each loop and process, so that attempts share it. What is left of the allowance goes from process to process by
the platform database: it is asked when something is rejected, and told before that is given up, so that a process
that is killed has at most counted it and not done it. While that database is away, a process goes by what it knows, at
first `FIRST_ALLOWED`.
"""

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Set
from contextlib import contextmanager, suppress

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.decisions import Decisions, RejectionCredit, subject_of
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.loop_state import LoopState, state_of
from engagement_platform.domain.rejections import FIRST, Judged, Rejections, too_many
from engagement_platform.settings import Settings

log = logging.getLogger("engagement_platform.rejections")

_ASK_SECONDS = 60.0
"""For how long a platform database that was away is not asked again: the loop waits for the answer, for seconds where
that server is frozen.
"""


class _KeptCredit:
    """What is left of the allowance, as the runs of a loop leave it to one another by the platform database."""

    def __init__(self, settings: Settings, loop: str, subject: str) -> None:
        self._store = RejectionCredit(Session(settings, loop))
        self._subject = subject
        self._before = 0
        """How much of the credit is of the runs before this one, or taken for that."""
        self._kept: int | None = None
        """What the database has, as this process knows; None before it has answered."""
        self._asks = Interval(_ASK_SECONDS, is_due=True)

    def taken_up(self, rejections: Rejections) -> Rejections:
        """Return what is true with what the runs before have left; where nobody knows that, with `FIRST`."""
        if self._kept is not None:
            return rejections
        self._kept = self._asked(lambda: self._store.left(self._subject))
        saved_up = rejections.allowance.credit - self._before
        self._before = FIRST.credit if self._kept is None else self._kept
        return rejections.with_credit(saved_up + self._before)

    def keep(self, rejections: Rejections) -> None:
        """Let the database know what is left."""
        left, kept = rejections.allowance.credit, self._kept
        if kept is None or left == kept:
            return

        def change() -> int:
            self._store.change(self._subject, left - kept)
            return left

        changed = self._asked(change)
        self._kept = kept if changed is None else changed

    def close(self) -> None:
        """Close the session."""
        self._store.close()

    def _asked(self, ask: Callable[[], int]) -> int | None:
        """Ask the database; return None where it is away, or was a moment ago."""
        if not self._asks.is_due:
            return None
        try:
            return ask()
        except EngagementError as error:
            log.debug("what may be given up was not asked for: %s", error)
            self._asks.restart()
            return None


class RejectionLimit:
    """The limit of one loop. `require` the messages in hand before anything is made of them, then say `done`."""

    def __init__(self, settings: Settings, loop: str) -> None:
        self._settings = settings
        self._loop = loop
        self._subject = subject_of(settings, loop)
        self._rejections = Rejections(FIRST.with_credit(0))
        self._next = self._rejections
        self._credit = _KeptCredit(settings, loop, self._subject)
        self._handled: Set[Hashable] = frozenset()
        """The lanes of the messages last required."""
        self._lanes: Set[Hashable] = frozenset()
        """Those with messages over the limit, until messages of them are handled."""
        self._state: LoopState | None = None

    def require(self, judged: Judged, reason: str = "") -> None:
        """Raise StreamStopped when too many of the messages in hand were rejected. `reason` is that of the first.

        Nothing is counted before `done`, so that what is tried again after a failure counts once.
        """
        if judged.rejected:
            self._rejections = self._credit.taken_up(self._rejections)
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
        if judged.rejected:
            self._credit.keep(after)
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

    def end(self) -> None:
        """Leave to the next run what this one has saved up, and what an operator has decided and is not used up."""
        self._credit.keep(self._credit.taken_up(self._rejections))
        self._credit.close()
        self._give_back()

    def _give_back(self) -> None:
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
        limit.end()
