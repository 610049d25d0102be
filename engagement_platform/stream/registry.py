"""The loops of the stream, in the order in which events pass them: one entry for each.

Whatever is made for every loop reads its entry: job, assets, pauses, status, doctor, redrives. The modules of the loops
are imported when they are needed, so that the console names loops without loading a client.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from engagement_platform.domain.redrive import Sink
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.domain.stream_names import own_name
from engagement_platform.domain.topics import Topic, User

if TYPE_CHECKING:
    from engagement_platform.domain.event_stream import EventStream
    from engagement_platform.settings import Settings
    from engagement_platform.stream.control import Control


class Module(Protocol):
    """What the module of a loop has."""

    def run(self, settings: "Settings", control: "Control") -> None:
        """Run the loop until the lease is over or, when draining, until all that was there before is done."""

    def backlog(self, settings: "Settings") -> int:
        """Return how many events wait, asked from outside of the loop. Raises EngagementError."""


class DividedModule(Module, Protocol):
    """What the module of a loop has whose partitions several runs divide: it reads those of `control.shard`."""

    def backlog(self, settings: "Settings", shard: Shard = WHOLE) -> int:
        """Return how many events wait in the partitions of a shard."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What is true of one loop, wherever that is asked."""

    name: str
    """Also of its op, and the source of its dead letters."""
    module: str
    description: str
    """What it does, as its op says."""
    asset: tuple[str, ...]
    """The key of the asset that it keeps up to date, with `{table}` and `{stream}` for the stream's: see `asset_of`."""
    keeps: str
    """What that asset is, with `{key}`, `{measures}` and `{dimensions}` for the stream's."""
    pause: str = ""
    """What a pause of it means; empty for a loop that is not paused by itself."""
    topics: tuple[Topic, ...] = (Topic.EVENTS,)
    """The topics that it relies on."""
    role: User = User.SINK
    """As whom it relies on them."""
    lacking: frozenset[Sink] = frozenset()
    """Where the events of its dead letters are missing: there a redrive brings them."""
    is_divided: bool = False
    """Whether several runs may divide its partitions; else the first shard's run has it, and it reads all of them."""

    @property
    def destination(self) -> str:
        """Where its events arrive, as its latency is named by: kafka, redis, warehouse, partner."""
        return self.asset[0]

    @property
    def is_pausable(self) -> bool:
        """Whether it may stand still while the others run."""
        return bool(self.pause)

    def asset_of(self, stream: "EventStream") -> tuple[str, ...]:
        """Return the key of the asset of a stream. Where nothing in it is the stream's, its name comes in front."""
        *folders, name = self.asset
        own = name.format(table=stream.table, stream=stream.name)
        return (*folders, own_name(stream.name, name) if own == name else own)

    def kept_of(self, stream: "EventStream") -> str:
        """Return what the asset of a stream is, for people."""
        return self.keeps.format(
            key=stream.key,
            measures=", ".join(measure.name for measure in stream.views.measures).capitalize(),
            dimensions=", ".join(dimension.name for dimension in stream.views.dimensions),
        )

    def run(self, settings: "Settings", control: "Control") -> None:
        """Run it. Its module, and the clients that it takes, are only imported where it runs."""
        self.imported().run(settings, control)

    def backlog(self, settings: "Settings", shard: Shard = WHOLE) -> int:
        """Return how many events wait for it, in the partitions of a shard. Raises EngagementError."""
        module = self.imported()
        return cast("DividedModule", module).backlog(settings, shard) if self.is_divided else module.backlog(settings)

    def imported(self) -> Module:
        """Import its module."""
        return cast("Module", import_module(self.module))


LOOPS = (
    Loop(
        name="relay",
        module="engagement_platform.stream.relay.loop",
        description="PostgreSQL to Kafka: every committed event exactly once, with the checkpoint in the transaction.",
        asset=("kafka", "{table}_topic"),
        keeps="Every committed event exactly once, enriched. Key: {key}. Value: JSON.",
        # Not paused: Kafka is the buffer of all others, and the source's ids age while nobody looks at them.
        topics=(Topic.EVENTS, Topic.CHECKPOINT, Topic.DEAD_LETTERS),
        role=User.RELAY,
        lacking=frozenset({Sink.API, Sink.WAREHOUSE}),
    ),
    Loop(
        name="tally",
        module="engagement_platform.stream.tally.loop",
        description="Kafka to Redis: the views of the sliding window, each event counted exactly once.",
        asset=("redis", "{stream}_views"),
        keeps="{measures} of the sliding window by {dimensions}; readable the moment an event is applied.",
        pause="The views in Redis stand still, and their as_of with them: readers see that they are stale.",
        role=User.TALLY,
        is_divided=True,
    ),
    Loop(
        name="stage",
        module="engagement_platform.stream.stage.loop",
        description="Kafka to the warehouse: checked batches of NDJSON, every event in the table exactly once.",
        asset=("warehouse", "staged_batches"),
        keeps="Batches of events, checked line by line and loaded into the warehouse's table every few seconds, "
        "each exactly once.",
        pause="Nothing is loaded into the warehouse; events wait in Kafka. Rebuilds of days go on.",
        topics=(Topic.EVENTS, Topic.DEAD_LETTERS),
        lacking=frozenset({Sink.WAREHOUSE}),
        is_divided=True,
    ),
    Loop(
        name="forward",
        module="engagement_platform.stream.forward.loop",
        description="Kafka to the partner's HTTP API: every event at least once, in order for each key, or kept as a "
        "dead letter.",
        asset=("partner", "api"),
        keeps="Events delivered to the partner's HTTP API at least once, in order for each key. What the partner "
        "does not take is kept as a dead letter.",
        pause="Nothing is delivered to the partner; events wait in Kafka.",
        topics=(Topic.EVENTS, Topic.REPLAYS, Topic.DEAD_LETTERS),
        lacking=frozenset({Sink.API}),
        is_divided=True,
    ),
)

NAMES = tuple(loop.name for loop in LOOPS)
_BY_NAME = {loop.name: loop for loop in LOOPS}
DIVIDED = frozenset(loop.name for loop in LOOPS if loop.is_divided)
"""The loops whose partitions several runs may divide."""
PAUSABLE = tuple(sorted(loop.name for loop in LOOPS if loop.is_pausable))


def loop_named(name: str) -> Loop:
    """Return the entry of a loop. Raises KeyError for a name that there is not."""
    return _BY_NAME[name]


def lacking() -> dict[str, frozenset[Sink]]:
    """Return source of dead letters -> where their events are missing."""
    return {loop.name: loop.lacking for loop in LOOPS}
