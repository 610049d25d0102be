"""A histogram of latencies: constant memory, mergeable, quantiles within 5 percent."""

import math
from collections import Counter

_GROWTH = math.log(1.05)


class Histogram:
    """Counts latencies in milliseconds in buckets that grow by 5 percent. Negative ones count as zero."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.maximum = 0.0

    def add(self, milliseconds: float, times: int = 1) -> None:
        """Count a latency, `times` times."""
        milliseconds = max(milliseconds, 0.0)
        self._buckets[math.ceil(math.log(milliseconds + 1) / _GROWTH)] += times
        self.count += times
        self.maximum = max(self.maximum, milliseconds)

    def quantile(self, share: float) -> float | None:
        """Return the latency, in milliseconds, that `share` of all do not exceed; None when there are none."""
        rank = math.ceil(share * self.count)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(math.exp(bucket * _GROWTH) - 1, self.maximum)
        return None
