"""The supervisor of a loop: it connects, claims, runs, backs off, and says what the loop waits for.

A loop is one attempt that is repeated until the lease is over. What ends an attempt says what comes next:

- *Unavailable*: a server is away or refuses. The next attempt follows with a growing pause. A loop that drains raises
  *Refused*: no waiting helps.
- *StreamStopped* and other errors that a person has to put right: the loop keeps its place in its run, so that the
  other loops go on, and looks every `LOOK_AGAIN_SECONDS` whether the remedy was followed. A loop that drains raises.
- *Superseded*: another run has taken over; the loop ends.
- What nobody foresaw: the next attempt follows, ever later. A loop that drains raises.

What the attempts log is logged once until the loop works again.
"""

import logging
import time
from collections.abc import Callable

from engagement_platform.domain.errors import EngagementError, Refused, Superseded, Unavailable
from engagement_platform.domain.loop_state import Activity, LoopState, state_of
from engagement_platform.stream.backoff import Outage, Spacing
from engagement_platform.stream.control import Claim, Control, look_at_nothing
from engagement_platform.stream.lag import LagCount

LOOK_AGAIN_SECONDS = 10.0
_MAX_FAULT_PAUSE = 30.0
OUTLAST_SECONDS = 30.0
"""For how long failures in a row are outlasted with the clients that there are."""
_MAX_LINES = 1_000


class Once(logging.Filter):
    """Lets a line of the log pass once until the loop works again: attempts say the same for hours."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line is new."""
        line = (record.getMessage(), repr(record.exc_info[1]) if record.exc_info else "")
        is_new = line not in self._said
        if len(self._said) >= _MAX_LINES:
            self._said.clear()
        self._said.add(line)
        return is_new

    def forget(self) -> None:
        """Let all lines pass again."""
        self._said.clear()


class Supervision:
    """What the attempts of one loop share. It claims once it is connected, and works with each step."""

    def __init__(
        self, control: Control, log: logging.Logger, max_pause: float, count_lag: Callable[[], int | None]
    ) -> None:
        self.control = control
        self._log = log
        self._outage = Outage(log.warning, longest=max_pause)
        self._faults = Spacing(_MAX_FAULT_PAUSE)
        self._lag = LagCount(control.progress, count_lag, log)
        self._claim = Claim.of(control.claim)
        self.once = Once()
        """Filters the loop's log."""

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        """Wait for the turn of the run, unless it has come, with every server connected: see `Control.claim`."""
        if not self._claim.is_made:
            self._outage.worked()
            self.once.forget()
        self._claim(look)

    def works(self, *, but: LoopState | None = None) -> None:
        """Note that every server answers; `but` says why no events flow all the same."""
        self._outage.worked()
        if but is None:
            self.once.forget()
            self.control.progress.streams()
        else:
            self.control.progress.enter(but)

    def idles(self, partitions: int) -> LoopState | None:
        """Return the state of a loop whose shard has none of the topic's partitions; None of any other."""
        if partitions or self.control.shard.is_whole:
            return None
        reason = f"{self.control.shard} has no partition: the topic has fewer than that"
        return LoopState(Activity.IDLE, time.time(), reason=reason)

    def failed(self, error: Unavailable) -> float:
        """Note that a server is away; return the seconds to wait."""
        self.control.progress.enter(state_of(error, time.time()))
        self._lag.look()
        return self._outage.failed(error)

    def stopped(self, error: EngagementError) -> None:
        """Say why the loop stands still, keep its place in its run, and wait until it is time to look again.

        The turn of a run may come long after: then it is looked again at once. Raises Superseded.
        """
        self.control.progress.enter(state_of(error, time.time()))
        self._outage.passed()
        self._log.error("%s", error)
        if not self._claim.is_made:
            self._claim()
            return
        self._lag.look()
        self.control.wait(LOOK_AGAIN_SECONDS)

    def broke(self, error: Exception) -> None:
        """Say what nobody foresaw, and wait before the next attempt."""
        pause = self._faults.pause()
        reason = f"{type(error).__name__}, which nobody foresaw: see the log of the run"
        self.control.progress.enter(LoopState(Activity.WAITS, time.time(), reason=reason))
        self._lag.look()
        self._log.exception("The loop failed in a way that nobody foresaw. It begins afresh in %.1f s.", pause)
        self.control.wait(pause)


def supervise(
    control: Control,
    attempt: Callable[[Supervision], None],
    *,
    log: logging.Logger,
    count_lag: Callable[[], int | None],
    max_pause: float = 2.0,
) -> None:
    """Attempt until the lease is over, or an attempt returns.

    `count_lag` returns how many events wait for the loop, asked from outside of it, or raises EngagementError.
    `max_pause` is the longest pause between attempts while a server is away, in seconds.
    """
    supervision = Supervision(control, log, max_pause, count_lag)
    log.addFilter(supervision.once)
    try:
        while not control.should_stop() and not _ends(attempt, supervision):
            pass
    except Superseded as error:
        log.info("%s", error)
    finally:
        log.removeFilter(supervision.once)


def _ends(attempt: Callable[[Supervision], None], supervision: Supervision) -> bool:
    """Make one attempt, and say whether it was the last. Raises Superseded, and what ends a loop that drains."""
    control = supervision.control
    try:
        attempt(supervision)
        return True
    except Superseded:
        raise
    except Unavailable as error:
        if control.drain and isinstance(error, Refused):
            raise
        control.wait(supervision.failed(error))
    except EngagementError as error:
        if control.drain:
            raise
        supervision.stopped(error)
    except Exception as error:  # else the op would start again at once, and be given up after some times
        if control.drain:
            raise
        supervision.broke(error)
    return False


class FailureStreak:
    """The failures in a row of one attempt, which are outlasted with what the loop has in hand.

    The next attempt connects anew and begins from what is stored. A connection that breaks every few seconds would make
    that a loop without progress: so only failures that last end the attempt. After one, the loop finds out where it
    stands before it goes on.
    """

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._since: float | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last step failed."""
        return self._since is not None

    def failed(self, error: Unavailable) -> None:
        """Wait before the next step. Raises the error when failures have lasted for too long, and Refused at once.

        The next attempt has clients that log in with what the secrets are then.
        """
        now = time.monotonic()
        if isinstance(error, Refused):
            raise error
        if self._since is None:
            self._since = now
        elif now - self._since > OUTLAST_SECONDS:
            raise error
        self._supervision.control.wait(self._supervision.failed(error))

    def worked(self) -> None:
        """Note that a step worked."""
        self._since = None
