"""A live generation of views on a server whose clock the test sets."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import redis

from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused
from engagement_platform.adapters.redis.views import Snapshot, Views
from engagement_platform.domain.clocks import UNKNOWN, Between
from engagement_platform.domain.playback import Playback, display_of
from engagement_platform.domain.windows import NONE, Window, aggregate, recount

NOW_MS = 1_767_268_800_000
WINDOW = Window.of_seconds(length=60, bucket=10, max_future=15)
CLOCK = "test:clock"
REAL_CLOCK = "local time = redis.call('TIME')\n"
TEST_CLOCK = (
    f"local time = {{math.floor(redis.call('GET', '{CLOCK}') / 1000), redis.call('GET', '{CLOCK}') % 1000 * 1000}}\n"
)


def event(
    offset_ms: int = 0,
    content: str | None = "c1",
    kind: str | None = "video",
    device: str | None = "ios",
    ms: int | None = 5,
) -> Playback:
    ts = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW_MS + offset_ms)
    return Playback(ts, content, kind, device, ms, f"slug of {content}", f"title of {content}")


@dataclass
class Tallied:
    """A live generation of one topic with one partition, and what was sent to it."""

    client: redis.Redis
    counts: Counts
    views: Views
    namespace: str
    offset: int = 0
    accepted: list[Playback] = field(default_factory=list)

    def batch(self, *events: Playback, offset: int | None = None, kafka_clock: Between = UNKNOWN) -> Batch:
        first = self.offset if offset is None else offset
        return Batch(
            generation="g1",
            topic_id="t1",
            offsets={0: (first, first + len(events))},
            buckets=aggregate(events, WINDOW.bucket_ms),
            display=display_of(events),
            kafka_clock=kafka_clock,
        )

    def send(self, *events: Playback) -> Applied:
        applied = self.counts.apply(self.batch(*events))
        assert isinstance(applied, Applied)
        self.offset += len(events)
        self.accepted += events
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
        exact = recount(self.accepted, WINDOW, found.as_of_ms)
        assert found.views == {
            dimension: {member: [count, int(float(ms))] for member, (count, ms) in sums.items()}
            for dimension, sums in exact.items()
        }
        assert int(found.meta["window_start"]) == WINDOW.start(found.as_of_ms)
        assert set(found.display) == found.views["content"].keys() - {NONE}
        kept = {b for b in aggregate(self.accepted, WINDOW.bucket_ms) if not WINDOW.is_late(b, found.as_of_ms)}
        names = self.key_names()
        assert {int(key.split(":")[1]) for key in names if key.startswith("bucket:")} == kept
        has_future = any(WINDOW.is_future(bucket, found.as_of_ms) for bucket in kept)
        assert ("future" in names) == has_future
        assert has_future or "future-display" not in names
        return found


def make(client: redis.Redis, namespace: str, window: Window = WINDOW) -> Tallied:
    tallied = Tallied(client, Counts(client, namespace, window), Views(client, namespace), namespace)
    tallied.counts.begin("g1", "t1", {0: 0})
    assert tallied.counts.promote("g1", None) == "promoted"
    return tallied
