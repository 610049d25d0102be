"""Counts what waits for a loop that stands still, in a thread, so that a server that is away delays nothing."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import closing

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.progress import Progress

COUNT_SECONDS = 5.0


class LagCount:
    """Keeps the lag of a loop that cannot tell it itself. It is None while nobody knows it."""

    def __init__(self, progress: Progress, count: Callable[[], int | None], log: logging.Logger) -> None:
        self._progress = progress
        self._count = count
        self._log = log
        self._counts = Interval(COUNT_SECONDS, is_due=True)
        self._thread = threading.Thread()

    def look(self) -> None:
        """Begin to count when it is due. Returns at once."""
        if self._counts.is_due and not self._thread.is_alive():
            self._counts.restart()
            self._thread = threading.Thread(target=self._note, name="lag", daemon=True)
            self._thread.start()

    def _note(self) -> None:
        try:
            lag = self._count()
        except EngagementError:
            lag = None
        except Exception:  # a figure that is not known must not print a traceback every few seconds
            self._log.debug("the lag was not counted", exc_info=True)
            lag = None
        if not self._progress.state.is_healthy:
            self._progress.lag = lag


def lag_behind(settings: Settings, control: Control) -> int | None:
    """Return how many messages lie behind where a loop knows that it stands. Raises EngagementError."""
    offsets = control.progress.offsets
    return backlog_behind(settings, lambda _: offsets, control.shard) if offsets else None


def backlog_behind(settings: Settings, stored: Callable[[str], Mapping[int, int]], shard: Shard = WHOLE) -> int:
    """Return how many messages of the topic of events lie behind the offsets that `stored` has for the topic's id.

    Those of a shard are counted. Raises EngagementError.
    """
    with closing(TopicReader(settings.kafka, settings.topics.events, shard=shard)) as reader:
        return beyond(stored(reader.topic_id), reader)


def beyond(stored: Mapping[int, int], reader: TopicReader) -> int:
    """Return the number of messages from the offsets on; from the oldest there are, where there is no offset."""
    begins = reader.beginning_offsets() | reader.shard.part_of(stored)
    return sum(max(0, end - begins.get(partition, 0)) for partition, end in reader.end_offsets().items())
