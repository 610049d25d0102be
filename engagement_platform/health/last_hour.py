"""The latencies of the last hour, from the histograms of the runs that streamed in it."""

from collections.abc import Mapping

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import latencies_since
from engagement_platform.domain.latency import Latencies, Recent

SECONDS = 3600.0


class LastHour:
    """What whoever looks now and then remembers. A run that had begun before the first look counts as a whole."""

    def __init__(self) -> None:
        self._recent: dict[tuple[str, str], Recent] = {}

    def read(self, session: Session, now: float) -> dict[str, Latencies]:
        """Return loop -> its latencies; `now` in seconds, of a clock that nobody sets. Raises Unavailable."""
        return self.of(latencies_since(session, SECONDS), now)

    def of(self, runs: Mapping[tuple[str, str], Latencies], now: float) -> dict[str, Latencies]:
        """Return the same of what was read: run and loop -> all latencies of that run."""
        self._recent = {key: self._recent.get(key) or Recent(SECONDS) for key in runs}
        summed: dict[str, Latencies] = {}
        for (run, loop), latencies in runs.items():
            recent = self._recent[run, loop].of(latencies, now)
            summed[loop] = summed.get(loop, Latencies()) + recent
        return summed
