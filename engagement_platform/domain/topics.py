"""What the platform demands of its topics' configuration, and what becomes of the stream while a demand is not met.

A configuration can be changed at any time, so the loops look at it again while they run (`stream.topic_watch`), and
`doctor` looks at it before.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 24 * 3_600_000
WEEK_MS: Final = 7 * DAY_MS
_USUAL_LIMIT: Final = 1_048_588
_SMALLEST_LIMIT: Final = 1_000_000


class Topic(StrEnum):
    """What a topic is for."""

    EVENTS = "events"
    CHECKPOINT = "checkpoint"
    DEAD_LETTERS = "dead_letters"
    REPLAYS = "replays"


class User(StrEnum):
    """Who relies on a demand."""

    RELAY = "relay"
    TALLY = "tally"
    BUILD = "build"
    """The tally, when it builds views anew."""
    SINK = "sink"
    """Any other loop: what Kafka forgets before it is read is gone for it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand. While it is not met `stops` stand still, and `warns` says so and goes on: nothing is lost yet."""

    topic: Topic
    name: str
    is_met: Callable[[str], bool]
    value: str
    """What to set."""
    why: str
    stops: frozenset[User] = frozenset()
    warns: frozenset[User] = frozenset()


@dataclass(frozen=True, slots=True)
class Unmet:
    """A demand that a topic's configuration does not meet."""

    demand: Demand
    topic: str
    present: str

    @property
    def what(self) -> str:
        """What is wrong, in a sentence."""
        return f"Kafka's topic {self.topic} has {self.demand.name}={self.present}: {self.demand.why}."

    def remedy(self, servers: str) -> str:
        """Return the command that mends it."""
        return (
            f"Run kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {self.topic}"
            f" --add-config {self.demand.name}={self.demand.value}"
        )


def demands(replay_ms: int) -> tuple[Demand, ...]:
    """Return all demands. `replay_ms` is how far back views are built from."""
    week, usual = str(WEEK_MS), str(_USUAL_LIMIT)
    by_arrival = "views cannot be built from the time at which events arrived"
    too_short = "views that are built anew would lack events of the window"
    expires = "what is not loaded and delivered within that limit has to be read from the source again"
    replays_expire = "what is not delivered within that limit has to be replayed again"
    open_ids = "the checkpoint of a stream with many open ids does not fit"
    unseen = "dead letters would be gone before anybody has looked at them"
    by_age = "dead letters cannot be chosen by when they arrived"
    unread = "compaction removes events that nobody has read yet"
    undelivered = "compaction removes replayed events that were not delivered yet"
    unlooked = "compaction removes dead letters that nobody has looked at"
    too_large, uncompacted = "larger events become dead letters", "Kafka would delete the relay's checkpoint"
    events, checkpoint, letters, replays = Topic.EVENTS, Topic.CHECKPOINT, Topic.DEAD_LETTERS, Topic.REPLAYS
    return (
        _demand(events, "cleanup.policy", "delete", unread, stops=User.RELAY, warns=User.SINK),
        _demand(events, "message.timestamp.type", "LogAppendTime", by_arrival, stops=User.BUILD, warns=User.TALLY),
        _demand(events, "retention.ms", week, too_short, least=replay_ms, stops=User.BUILD, warns=User.TALLY),
        _demand(events, "retention.ms", week, expires, least=DAY_MS, warns=User.SINK),
        _demand(events, "retention.bytes", "-1", expires, warns=User.SINK),
        _demand(events, "max.message.bytes", usual, too_large, least=_SMALLEST_LIMIT, warns=User.RELAY),
        _demand(checkpoint, "cleanup.policy", "compact", uncompacted, stops=User.RELAY),
        _demand(checkpoint, "max.message.bytes", usual, open_ids, least=_SMALLEST_LIMIT, stops=User.RELAY),
        _demand(letters, "cleanup.policy", "delete", unlooked, warns=User.RELAY),
        _demand(letters, "message.timestamp.type", "LogAppendTime", by_age, warns=User.RELAY),
        _demand(letters, "retention.ms", "-1", unseen, warns=User.RELAY),
        _demand(letters, "retention.bytes", "-1", unseen, warns=User.RELAY),
        _demand(replays, "cleanup.policy", "delete", undelivered, warns=User.SINK),
        _demand(replays, "retention.ms", week, replays_expire, least=DAY_MS, warns=User.SINK),
        _demand(replays, "retention.bytes", "-1", replays_expire, warns=User.SINK),
    )


def _demand(
    topic: Topic,
    name: str,
    value: str,
    why: str,
    *,
    least: int | None = None,
    stops: User | None = None,
    warns: User | None = None,
) -> Demand:
    """Return the demand for a value, or for a limit that is not below `least`."""

    def is_met(present: str) -> bool:
        return present == value if least is None else _at_least(present, least)

    return Demand(topic, name, is_met, value, why, frozenset(filter(None, [stops])), frozenset(filter(None, [warns])))


def unmet(
    demands: tuple[Demand, ...], names: Mapping[Topic, str], present: Mapping[str, Mapping[str, str]]
) -> Iterator[Unmet]:
    """Return the demands that the present configurations, by the names of the topics, do not meet.

    What Kafka does not tell, of an older version or to this user, is not held against it. A topic without a name is not
    looked at.
    """
    for demand in demands:
        topic = names.get(demand.topic, "")
        value = present.get(topic, {}).get(demand.name)
        if value is not None and not demand.is_met(value):
            yield Unmet(demand, topic, value)


def _at_least(value: str, least: int) -> bool:
    """Say whether a limit is not below another; -1 is none at all."""
    return value == "-1" or (value.isdecimal() and int(value) >= least)
