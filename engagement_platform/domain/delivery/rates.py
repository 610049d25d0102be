"""How fast requests and events may leave."""


class Rate:
    """A token bucket that holds what comes within `SAVED_SECONDS`. Without a limit nothing ever waits."""

    SAVED_SECONDS = 0.5

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._tokens = 0.0
        self._at: float | None = None

    def take(self, number: float, now: float) -> None:
        """Take tokens. More than there are may be taken: who comes next waits for the debt."""
        if self._per_second is not None:
            self._tokens = self._filled(now) - number
            self._at = now

    def pause(self, now: float) -> float:
        """Return the seconds until tokens may be taken."""
        if self._per_second is None:
            return 0.0
        return max(-self._filled(now) / self._per_second, 0.0)

    def _filled(self, now: float) -> float:
        assert self._per_second is not None  # noqa: S101
        most = self._per_second * self.SAVED_SECONDS
        gained = 0.0 if self._at is None else (now - self._at) * self._per_second
        return min(most, self._tokens + gained)
