"""Keeps the offsets of forward: in its consumer group, and a second time in the platform's database."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from engagement_platform.adapters.kafka.group import Stored
from engagement_platform.adapters.platform import forwarded
from engagement_platform.adapters.platform.forwarded import Positions
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.delivery.dispatch import Dispatch
from engagement_platform.settings import Settings
from engagement_platform.stream.forward.topic import Topic

log = logging.getLogger("engagement_platform.forward")

STORE_SECONDS = 0.5
"""How often offsets are stored: after a crash, at most what was delivered meanwhile is delivered again."""
_STORE_ALL_SECONDS = 600.0
"""Kafka forgets the offsets of a group that nobody stores for days, also those that have not changed."""
_STORE_TRIES_SECONDS = 10.0
"""How often all are stored while events are tried in vain: so much of their time is not counted after a crash."""
_DATABASE_SECONDS = 15.0
"""For how long a database that is frozen is waited for: a loop that waits for it does not hang."""
_MARGIN = timedelta(minutes=1)
"""By which clocks may differ."""


def since_of(settled_to: datetime | None) -> str:
    """Return what `backfill --since` takes, where all that came before a time is settled; TIME: it is not known."""
    return "TIME" if settled_to is None else f"{settled_to - _MARGIN:%Y-%m-%dT%H:%M:%S}"


class Offsets:
    """How far the topics are settled. The group in Kafka says where forward goes on.

    The platform's database has a copy, which is asked only when the group has nothing.
    """

    def __init__(
        self, settings: Settings, topics: Mapping[str, Topic], positions: Positions, dispatch: Dispatch
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._positions = positions
        self._dispatch = dispatch
        self._stores = Interval(STORE_SECONDS, is_due=False)
        self._stores_of_all = Interval(_STORE_ALL_SECONDS, is_due=False)
        self._stores_of_tries = Interval(_STORE_TRIES_SECONDS, is_due=False)
        self.is_resumed = False
        """Whether it is known where to go on, so that something can be stored."""

    def goals(self) -> dict[str, dict[int, int]]:
        """Return topic -> partition -> the end of what is there now. Raises Unavailable."""
        return {name: topic.reader.end_offsets() for name, topic in self._topics.items()}

    def resume(self, expect: Callable[[float], None]) -> None:
        """Go on from what is stored; `expect` is told how long that may take. Raises Unavailable."""
        credits_left = []
        for topic in self._topics.values():
            stored = topic.reader.stored()
            own = topic.reader.shard.part_of(stored).values()
            credits_left += [one.credit for one in own if one.credit is not None]
            topic.resume(stored or self._copied(topic, expect))
            if not stored and not topic.has_copy:
                topic.reader.begin_others()
            if not stored and not topic.has_copy and (lost := sum(topic.reader.positions().values())):
                log.warning(
                    "Group %s has no offsets for %s: it begins with the oldest messages there are; %d have expired.",
                    self._settings.topics.forward_group,
                    topic.name,
                    lost,
                )
        if credits_left:
            self._dispatch.blame.credit.carry(min(credits_left))
        self.is_resumed = True
        self.store(time.monotonic(), everything=True)

    def _copied(self, topic: Topic, expect: Callable[[float], None]) -> dict[int, Stored]:
        """Return the offsets in the platform's database, where Kafka has none: none at a first start only.

        Raises Unavailable, as without that database a first start cannot be told from a topic that was deleted.
        """
        expect(_DATABASE_SECONDS)
        position = forwarded.read(self._settings, topic.name)
        if position is None:
            return {}
        topic.has_copy = True
        at = "" if position.settled_to is None else f"{position.settled_to:%Y-%m-%dT%H:%M:%S}"
        log.warning(
            "Group %s has lost its offsets for %s; those in the platform database are used.",
            self._settings.topics.forward_group,
            topic.name,
        )
        return {p: Stored(offset, position.topic_id, at) for p, offset in position.offsets.items()}

    @property
    def is_due(self) -> bool:
        """Whether it is time to store what has advanced."""
        return self._stores.is_due

    def store(self, now: float, *, everything: bool = False) -> None:
        """Store the offsets that have advanced, or all, and how long events are tried in vain. Raises Unavailable."""
        tried = self._dispatch.tried(now)
        everything |= self._stores_of_all.is_due
        with_tries = bool(tried) and self._stores_of_tries.is_due
        for topic in self._topics.values():
            position = topic.store(tried, self._dispatch.blame.credit.left, everything=everything or with_tries)
            self._positions.record(topic.name, position)
        self._stores.restart()
        if everything:
            self._stores_of_all.restart()
        if everything or with_tries:
            self._stores_of_tries.restart()

    def have_reached(self, goals: Mapping[str, Mapping[int, int]]) -> bool:
        """Say whether everything up to the goals is settled."""
        return all(self._topics[name].has_settled(ends) for name, ends in goals.items())

    def since(self) -> str:
        """Return the time before which all that was published is settled, as a command takes it; TIME: not known."""
        return since_of(self.settled_to)

    @property
    def settled_to(self) -> datetime | None:
        """The time before which everything that arrived in Kafka is settled; None where that is not known."""
        times = [topic.settled_to for topic in self._topics.values() if topic.is_begun]
        settled = [moment for moment in times if moment is not None]
        return min(settled) if settled and len(settled) == len(times) else None
