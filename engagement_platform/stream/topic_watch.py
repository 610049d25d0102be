"""Looks again and again whether the topics are configured as a loop relies on: anybody can change that at any time.

A thread of its own asks, so that no loop waits for the answer. A demand that is not met stops the loop, or is a warning
where nothing can be lost yet: see `domain.topics`. Kafka being away is for others to notice.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from engagement_platform.adapters.kafka.topics import TopicConfigurations
from engagement_platform.adapters.repeated import Repeated
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.topics import Topic, Unmet, User, demands, unmet
from engagement_platform.domain.windows import Window
from engagement_platform.settings import Settings, Views
from engagement_platform.stream.registry import Loop

LOOK_SECONDS = 10.0


def names_of(settings: Settings) -> dict[Topic, str]:
    """Return the names of the topics of which something is demanded."""
    return {topic: getattr(settings.topics, topic) for topic in Topic}


def window_of(views: Views) -> Window:
    """Return the window of the views."""
    return Window.of_seconds(views.window_seconds, views.bucket_seconds, views.max_future_seconds)


class TopicWatch:
    """What the last look at the topics found for one loop. Made by `watching`."""

    def __init__(self, settings: Settings, loop: Loop, log: logging.Logger) -> None:
        self._settings = settings
        self._user = loop.role
        self._log = log
        self._names = {topic: name for topic, name in names_of(settings).items() if topic in loop.topics}
        self._demands = demands(window_of(settings.views).replay_ms)
        self._configurations = TopicConfigurations(settings.kafka, list(self._names.values()))
        self._unmet: list[Unmet] = []
        self._limits: dict[str, int] = {}
        self._warned: set[Unmet] = set()

    def look(self) -> None:
        """Read the configurations. Raises Unavailable."""
        present = self._configurations.read()
        self._unmet = list(unmet(self._demands, self._names, present))
        limits = {name: values.get("max.message.bytes") for name, values in present.items()}
        self._limits = {name: int(limit) for name, limit in limits.items() if limit is not None}
        for one in self._unmet:
            if self._user in one.demand.warns and one not in self._warned:
                self._log.warning("%s %s", one.what, self._remedy(one))
        self._warned = set(self._unmet)

    def require(self, user: User | None = None) -> None:
        """Raise StreamStopped when something that the loop, or another user, relies on was not met at the last look.

        Cheap: nothing is asked.
        """
        for one in self._unmet:
            if (user or self._user) in one.demand.stops:
                raise StreamStopped(one.what, self._remedy(one))

    def require_limits(self, **limits: int) -> None:
        """Raise Unavailable when Kafka takes less of a topic's messages than before: who connects anew reads that."""
        for topic, limit in limits.items():
            name = self._names[Topic(topic)]
            present = self._limits.get(name, limit)
            if present < limit:
                raise Unavailable(
                    f"The max.message.bytes of Kafka's topic {name} went down from {limit} to {present}.",
                    "The relay begins again with it; larger messages become dead letters.",
                )

    def close(self) -> None:
        """Close the connection."""
        self._configurations.close()

    def _remedy(self, one: Unmet) -> str:
        return one.remedy(self._settings.kafka.bootstrap_servers)


@contextmanager
def watching(settings: Settings, loop: Loop, log: logging.Logger) -> Iterator[TopicWatch]:
    """Look now, and from a thread again every `LOOK_SECONDS` while the block runs.

    Raises Unavailable, and StreamStopped when a demand is not met already.
    """
    watch = TopicWatch(settings, loop, log)
    try:
        watch.look()
        watch.require()
        with Repeated("topic-watch", watch.look, LOOK_SECONDS, log=log):
            yield watch
    finally:
        watch.close()
