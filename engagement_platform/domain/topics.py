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
    expires = "what is not loaded and delivered within that limit has to be read from the source again"
    replays_expire = "what is not delivered within that limit has to be replayed again"
    return (
        Demand(
            Topic.EVENTS,
            "cleanup.policy",
            lambda value: value == "delete",
            "delete",
            "compaction removes events that nobody has read yet",
            stops=frozenset({User.RELAY}),
            warns=frozenset({User.SINK}),
        ),
        Demand(
            Topic.EVENTS,
            "message.timestamp.type",
            lambda value: value == "LogAppendTime",
            "LogAppendTime",
            "views cannot be built from the time at which events arrived",
            stops=frozenset({User.BUILD}),
            warns=frozenset({User.TALLY}),
        ),
        Demand(
            Topic.EVENTS,
            "retention.ms",
            lambda value: _at_least(value, replay_ms),
            str(WEEK_MS),
            "views that are built anew would lack events of the window",
            stops=frozenset({User.BUILD}),
            warns=frozenset({User.TALLY}),
        ),
        Demand(
            Topic.EVENTS,
            "retention.ms",
            lambda value: _at_least(value, DAY_MS),
            str(WEEK_MS),
            expires,
            warns=frozenset({User.SINK}),
        ),
        Demand(
            Topic.EVENTS,
            "retention.bytes",
            lambda value: value == "-1",
            "-1",
            expires,
            warns=frozenset({User.SINK}),
        ),
        Demand(
            Topic.EVENTS,
            "max.message.bytes",
            lambda value: _at_least(value, _SMALLEST_LIMIT),
            str(_USUAL_LIMIT),
            "larger events become dead letters",
            warns=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.CHECKPOINT,
            "cleanup.policy",
            lambda value: value == "compact",
            "compact",
            "Kafka would delete the relay's checkpoint",
            stops=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.CHECKPOINT,
            "max.message.bytes",
            lambda value: _at_least(value, _SMALLEST_LIMIT),
            str(_USUAL_LIMIT),
            "the checkpoint of a stream with many open ids does not fit",
            stops=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.DEAD_LETTERS,
            "cleanup.policy",
            lambda value: value == "delete",
            "delete",
            "compaction removes dead letters that nobody has looked at",
            warns=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.DEAD_LETTERS,
            "message.timestamp.type",
            lambda value: value == "LogAppendTime",
            "LogAppendTime",
            "dead letters cannot be chosen by when they arrived",
            warns=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.DEAD_LETTERS,
            "retention.ms",
            lambda value: value == "-1",
            "-1",
            "dead letters would be gone before anybody has looked at them",
            warns=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.DEAD_LETTERS,
            "retention.bytes",
            lambda value: value == "-1",
            "-1",
            "dead letters would be gone before anybody has looked at them",
            warns=frozenset({User.RELAY}),
        ),
        Demand(
            Topic.REPLAYS,
            "cleanup.policy",
            lambda value: value == "delete",
            "delete",
            "compaction removes replayed events that were not delivered yet",
            warns=frozenset({User.SINK}),
        ),
        Demand(
            Topic.REPLAYS,
            "retention.ms",
            lambda value: _at_least(value, DAY_MS),
            str(WEEK_MS),
            replays_expire,
            warns=frozenset({User.SINK}),
        ),
        Demand(
            Topic.REPLAYS,
            "retention.bytes",
            lambda value: value == "-1",
            "-1",
            replays_expire,
            warns=frozenset({User.SINK}),
        ),
    )


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
