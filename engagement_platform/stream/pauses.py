"""Pauses: one loop ends and begins again, while the others of its run go on.

A thread looks once a second whether the loop is paused. While the platform database does not answer, what was known
last holds on. A paused loop keeps its place in its run: it has claimed, its heart beats, it hands over.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.domain.errors import Superseded, Unavailable
from engagement_platform.domain.loop_state import Activity, LoopState, Pause
from engagement_platform.settings import Settings
from engagement_platform.stream.backoff import Outage
from engagement_platform.stream.control import Claim, Control
from engagement_platform.stream.lag import LagCount
from engagement_platform.stream.registry import loop_named

log = logging.getLogger("engagement_platform.pauses")

LOOK_SECONDS = 1.0
"""How often it is looked whether a loop is paused."""


def run_pausable(
    run_loop: Callable[[Settings, Control], None], settings: Settings, control: Control, loop: str
) -> None:
    """Run a loop, except while it is paused. A pause ends it as the end of a lease does: with the batch in hand.

    A paused loop that drains ends at once, and says so. Waits for the platform database before the first begin, for
    what could not be read is never taken for the absence of a pause. Raises what the loop raises.
    """
    claim = Claim(control.claim)
    with _watching(settings, control, loop) as watch:
        while not control.should_stop():
            pause = watch.present
            if pause is None:
                turn = _Turn(control, claim, watch)
                run_loop(settings, turn)
                if not turn.interrupted:
                    return
                continue
            try:
                claim()
            except Superseded as error:
                log.info("%s", error)
                return
            if control.drain:
                control.progress.enter(_paused(pause))
                log.warning("%s is paused %s. What is there stays there.", loop, pause)
                return
            _stand_still(settings, control, watch, pause)


def _stand_still(settings: Settings, control: Control, watch: "_Watch", pause: Pause) -> None:
    """Wait until the loop is resumed or has to stop, and tell meanwhile how much waits for it."""
    log.info("%s is paused %s.", pause.loop, pause)
    control.progress.enter(_paused(pause))
    lag = LagCount(control.progress, lambda: loop_named(pause.loop).backlog(settings, control.shard), log)
    while watch.present is not None and not control.wait(LOOK_SECONDS / 4):
        lag.look()
    if watch.present is None:
        control.progress.enter(LoopState(Activity.STARTS, time.time()))
        log.info("%s goes on.", pause.loop)


def _paused(pause: Pause) -> LoopState:
    return LoopState(Activity.PAUSED, pause.since.timestamp(), pause.who, str(pause))


class _Turn:
    """The Control of a loop between two pauses: a pause asks it to stop, and is not forgotten until it has."""

    def __init__(self, control: Control, claim: Claim, watch: "_Watch") -> None:
        self.drain = control.drain
        self.progress = control.progress
        self.shard = control.shard
        self.claim = claim
        self.owns_lease, self.behind, self.expect = control.owns_lease, control.behind, control.expect
        self.interrupted = False
        """Whether the loop was asked to stop because of a pause."""
        self._control = control
        self._watch = watch

    def should_stop(self) -> bool:
        """Say whether to finish the batch in hand and return: for good, or for a pause."""
        self.interrupted = self.interrupted or self._watch.present is not None
        return self._control.should_stop() or self.interrupted

    def wait(self, seconds: float) -> bool:
        """Pause, at most until it is time to stop; return should_stop()."""
        end = time.monotonic() + seconds
        while not self.should_stop() and (left := end - time.monotonic()) > 0:
            self._control.wait(min(left, LOOK_SECONDS / 4))
        return self.should_stop()


class _Watch:
    """The thread that looks whether a loop is paused."""

    def __init__(self, settings: Settings, loop: str) -> None:
        self.present: Pause | None = None
        self._loop = loop
        self._pauses = Pauses(Session(settings, f"{loop}-pause"))
        # The lease, which looks more often, says what ails the database.
        self.thread = Repeated(
            "pauses",
            self.look,
            LOOK_SECONDS,
            log=log,
            failures=Outage(log.debug, longest=LOOK_SECONDS),
            at_end=self._pauses.close,
            patience=LOOK_SECONDS,
        )

    def look(self) -> None:
        """Look once. Raises Unavailable."""
        self.present = self._pauses.present().get(self._loop)


@contextmanager
def _watching(settings: Settings, control: Control, loop: str) -> Iterator[_Watch]:
    watch, outage = _Watch(settings, loop), Outage(log.warning)
    try:
        while not control.should_stop():
            try:
                watch.look()
                break
            except Unavailable as error:
                control.wait(outage.failed(error))
        watch.thread.start()
        yield watch
    finally:
        watch.thread.close()  # behind a database that does not answer it is left to end by itself
