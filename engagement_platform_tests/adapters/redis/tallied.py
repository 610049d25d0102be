"""A live generation of a stream's views on a server whose clock the test sets."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import redis

from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.domain.clocks import UNKNOWN, Between
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.playback import Playbacks
from engagement_platform.domain.windows import NONE, Window, aggregate, attribute_of
from engagement_platform_tests.recount import is_future, is_late, recount
from engagement_platform_tests.streams import PACKAGED

NOW_MS = 1_767_268_800_000
WINDOW = Window.of_seconds(length=60, bucket=10, max_future=15)
CLOCK = "test:clock"
REAL_CLOCK = "local time = redis.call('TIME')\n"
TEST_CLOCK = (
    f"local time = {{math.floor(redis.call('GET', '{CLOCK}') / 1000), redis.call('GET', '{CLOCK}') % 1000 * 1000}}\n"
)


_PLAYBACKS: dict[tuple[Any, str], Playbacks] = {}


def playbacks_of(stream: EventStream) -> Playbacks:
    """Return what reads the messages of a stream; made once, since it makes types."""
    key = stream.views, stream.source.time
    return _PLAYBACKS.setdefault(key, _PLAYBACKS.get(key) or Playbacks(stream))


@dataclass(frozen=True)
class Happened:
    """An event, whatever its stream has for columns."""

    at: datetime
    members: tuple[str | None, ...]
    amount: int | None
    shown: str

    def as_of(self, stream: EventStream) -> Any:
        """Return it as an event of a stream: dimensions take the members in turn, each sum the amount."""
        views = stream.views
        values: dict[str, Any] = {column: f"{column} of {self.shown}" for column in views.columns}
        values |= {measure.column: self.amount for measure in views.measures if measure.column is not None}
        for dimension, member in zip(views.dimensions, cycle(self.members)):
            if dimension.column not in {measure.column for measure in views.measures}:
                values[dimension.column] = member
        named = {attribute_of(column): value for column, value in values.items()}
        return playbacks_of(stream).event(**named, **{attribute_of(stream.source.time): self.at})


def event(
    offset_ms: int = 0,
    content: str | None = "c1",
    kind: str | None = "video",
    device: str | None = "ios",
    ms: int | None = 5,
) -> Happened:
    ts = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW_MS + offset_ms)
    return Happened(ts, (content, kind, device), ms, str(content))


@dataclass
class Tallied:
    """A live generation of one topic with one partition, and what was sent to it."""

    client: redis.Redis
    counts: Counts
    views: Views
    namespace: str
    stream: EventStream = PACKAGED
    offset: int = 0
    accepted: list[Any] = field(default_factory=list)

    @property
    def first(self) -> str:
        """The first dimension, whose members are the contents of `event`."""
        return self.stream.views.dimensions[0].name

    def batch(self, *happened: Happened, offset: int | None = None, kafka_clock: Between = UNKNOWN) -> Batch:
        events = [one.as_of(self.stream) for one in happened]
        first = self.offset if offset is None else offset
        return Batch(
            generation="g1",
            topic_id="t1",
            offsets={0: (first, first + len(events))},
            buckets=aggregate(self.stream, events, WINDOW.bucket_ms),
            display=playbacks_of(self.stream).display_of(events),
            kafka_clock=kafka_clock,
        )

    def send(self, *events: Happened) -> Applied:
        applied = self.counts.apply(self.batch(*events))
        assert isinstance(applied, Applied)
        self.offset += len(events)
        self.accepted += [one.as_of(self.stream) for one in events]
        return applied

    def refuse(self, batch: Batch) -> Refused:
        """Send what must be refused, and prove that it changed nothing."""
        before = self.views.snapshot()
        outcome = self.counts.apply(batch)
        assert isinstance(outcome, Refused)
        assert self.views.snapshot() == before
        return outcome

    def at(self, offset_ms: int) -> None:
        self.client.set(CLOCK, NOW_MS + offset_ms)

    def key_names(self) -> set[str]:
        prefix = f"{{{self.namespace}}}:"
        return {key.removeprefix(prefix) for key in self.client.scan_iter(prefix + "*")}

    def assert_exact(self) -> Snapshot:
        """Compare with a recount from scratch, and look for leftovers."""
        found = self.views.snapshot()
        exact = recount(self.stream, self.accepted, WINDOW, found.as_of_ms)
        assert found.views == {
            dimension: {member: [int(float(number)) for number in row] for member, row in sums.items()}
            for dimension, sums in exact.items()
        }
        assert int(found.meta["window_start"]) == WINDOW.start(found.as_of_ms)
        shown = {one.name for one in self.stream.views.dimensions if one.shown}
        assert found.display.keys() == shown
        for dimension, texts in found.display.items():
            assert texts.keys() - {NONE} == found.views[dimension].keys() - {NONE}
        buckets = aggregate(self.stream, self.accepted, WINDOW.bucket_ms)
        kept = {bucket for bucket in buckets if not is_late(WINDOW, bucket, found.as_of_ms)}
        names = self.key_names()
        assert {name for name in names if not name.startswith("build:")} <= self.known_names()
        assert {int(key.split(":")[1]) for key in names if key.startswith("bucket:")} == kept
        has_future = any(is_future(WINDOW, bucket, found.as_of_ms) for bucket in kept)
        assert ("future" in names) == has_future
        assert has_future or not any(name.startswith("future-") for name in names)
        return found

    def known_names(self) -> set[str]:
        """Return the names of the keys that a generation of this stream may have."""
        keys, views = Keys(""), self.stream.views
        displays = keys.displays(views).values()
        measured = [(one.name, measure.name) for one in views.dimensions for measure in views.measures]
        names = {"meta", "offsets", "buckets", "future", *displays, *(f"future-{name}" for name in displays)}
        names |= {keys.view(dimension, measure) for dimension, measure in measured}
        starts = aggregate(self.stream, self.accepted, WINDOW.bucket_ms)
        return names | {f"bucket:{start}:{dimension}:{measure}" for start in starts for dimension, measure in measured}


def make(client: redis.Redis, namespace: str, stream: EventStream | None = None) -> Tallied:
    stream = stream or PACKAGED
    counts, views = Counts(client, namespace, WINDOW, stream), Views(client, namespace, stream)
    tallied = Tallied(client, counts, views, namespace, stream)
    tallied.counts.begin("g1", "t1", {0: 0})
    assert tallied.counts.promote("g1", None) == "promoted"
    return tallied
