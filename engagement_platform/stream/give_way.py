"""Lets a loop whose readers wait for seconds take less while Redis is behind. What it may do `domain.overload` says."""

import time

from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.overload import debt_after, share_of
from engagement_platform.domain.progress import SHARE
from engagement_platform.stream.control import Control


class GiveWay:
    """The share of one loop. It counts the time of the processor that its whole process takes."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._debt = 0.0
        self._share = 1.0
        self._at, self._used = time.monotonic(), time.process_time()
        self.behind = 0.0
        """How far Redis was behind at the last look."""

    def seconds(self) -> float:
        """Return for how long to take nothing: to be asked before more is taken. Cheap."""
        now, used, before = time.monotonic(), time.process_time(), self._share
        self.behind = 0.0 if self._control.drain else self._control.behind()
        self._share = share_of(self.behind)
        self._debt = debt_after(self._debt, used - self._used, now - self._at, self._share)
        self._at, self._used = now, used
        if self._share != before:
            self._control.progress.set(SHARE, round(self._share, 2))
        return self._debt

    def state(self) -> LoopState | None:
        """Return what the loop does while it takes less."""
        if self._share == 1.0:
            return None
        reason = f"it is {self.behind:,.1f} s behind, and this takes {self._share:.0%} of its time"
        return LoopState(Activity.GIVES_WAY, time.time(), "Redis", reason)
