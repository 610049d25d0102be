"""As of when a loop has handled everything of the topic of events: it advances without events, too."""

from collections.abc import Collection, Mapping, Sequence

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.messages import HEADER_UNSEEN_AT


class AsOf:
    """Keeps, of each partition, how new the last message is that was handled.

    Within a partition the header `unseen-at` only rises: so every event that was committed before that of the last
    message is handled. Of a partition whose end was read, everything is that was committed a moment ago.
    """

    def __init__(self) -> None:
        self._latest: dict[int, float] = {}

    def handled(self, records: Mapping[int, Sequence[Record]]) -> None:
        """Note that messages are where the loop brings them. Looks at one of each partition."""
        for partition, messages in records.items():
            texts = [value for key, value in messages[-1].headers if key == HEADER_UNSEEN_AT] if messages else []
            if texts and texts[-1] and texts[-1].isdigit():
                self._latest[partition] = int(texts[-1]) / 1_000_000

    def of(self, partitions: Collection[int], at_end: Collection[int], now: float) -> float | None:
        """Return as of when everything is handled, in seconds since 1970; None while a partition is not known.

        `at_end` are the partitions of which everything was read and handled.
        """
        times = [now if partition in at_end else self._latest.get(partition) for partition in partitions]
        known = [time for time in times if time is not None]
        return min(known) if known and len(known) == len(times) else None
