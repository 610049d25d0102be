"""Measures how fast forward catches up."""


class Pace:
    """Measures how fast a backlog shrinks while the partner takes events. Time is an argument."""

    WINDOW_SECONDS = 2.0

    def __init__(self) -> None:
        self._since: float | None = None
        self._settled = 0
        self._mark = (0.0, 0)

    def note(self, now: float, settled: int, backlog: int, least: int) -> tuple[int | None, str]:
        """Return the events a second of the last window while `least` events wait, and what to say at the end of that.

        `settled` counts all events since the start. Not for the time in which the partner is out: see `interrupt`.
        """
        if backlog < least:
            return None, self._end(now, settled)
        if self._since is None:
            self._since, self._settled, self._mark = now, settled, (now, settled)
        begin, count = self._mark
        if now - begin < self.WINDOW_SECONDS:
            return None, ""
        self._mark = (now, settled)
        return round((settled - count) / (now - begin)), ""

    def interrupt(self) -> None:
        """Note that the partner is out: the measuring begins anew when it is back."""
        self._since = None

    def _end(self, now: float, settled: int) -> str:
        since, self._since = self._since, None
        if since is None or now - since < self.WINDOW_SECONDS:
            return ""
        events, seconds = settled - self._settled, now - since
        return f"Caught up: {events} events in {seconds:.1f} s, {events / seconds:.0f} a second."
