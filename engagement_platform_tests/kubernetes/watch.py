"""Commits a marker every 50 ms, and looks when it is to be seen in each sink. Times are of the monotonic clock."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import deltalake
import msgspec
import psycopg
import redis
from kafka import KafkaConsumer, TopicPartition

from engagement_platform.local.receiver import Delivery
from engagement_platform_tests.again import again
from engagement_platform_tests.kubernetes.servers import CONTROL_PORT, Servers

EVERY_SECONDS = 0.05
SINKS = ("kafka", "redis", "partner", "warehouse")
_LOOK_SECONDS = {"redis": 0.01, "partner": 0.02, "warehouse": 0.5}
_INSERT = """
INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device)
SELECT id, 'play', clock_timestamp(), 1, %s FROM content ORDER BY id OFFSET %s LIMIT 1 RETURNING id
"""


@dataclass
class Watch:
    """What was written and seen so far."""

    servers: Servers
    table: Path
    committed: dict[int, float] = field(default_factory=dict)
    """Id of a marker -> when it was committed."""
    seen: dict[str, dict[int, float]] = field(default_factory=lambda: {sink: {} for sink in SINKS})
    published: list[int] = field(default_factory=list)
    """The ids in the topic, in the order in which they were read."""
    delivered: list[int] = field(default_factory=list)
    """The ids that the partner took, repeats included."""
    errors: dict[str, str] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _writes: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """Write and look while the block runs."""
        self._writes.set()
        work: Mapping[str, Callable[[], None]] = {
            "source": self._write, "kafka": self._topic, "redis": self._views, "partner": self._partner,
            "warehouse": self._files,
        }  # fmt: skip
        with again(work, self._stop, self.errors, pause=0.2):
            yield self

    def end_writing(self) -> None:
        self._writes.clear()

    def worst(self, since: float) -> dict[str, float]:
        """Return for how long the slowest of the markers committed since a time waited for each sink, in seconds.

        One that has not arrived waits still.
        """
        now, markers = time.monotonic(), [(number, at) for number, at in list(self.committed.items()) if at >= since]
        return {
            sink: max((seen.get(number, now) - at for number, at in markers), default=0.0)
            for sink, seen in self.seen.items()
        }

    def pause(self, since: float) -> float:
        """Return the longest pause between two markers since a time, in seconds."""
        times = [at for at in list(self.committed.values()) if at >= since]
        return max((later - at for at, later in itertools.pairwise(times)), default=0.0)

    def missing(self, sink: str) -> set[int]:
        return self.committed.keys() - self.seen[sink].keys()

    def flows(self, since: float) -> bool:
        """Say whether a marker committed since a time has arrived in each sink."""
        after = {number for number, at in list(self.committed.items()) if at >= since}
        return all(not after.isdisjoint(seen) for seen in self.seen.values())

    def _write(self) -> None:
        with psycopg.connect(self.servers.writer_dsn, autocommit=True) as source:
            while not self._stop.wait(EVERY_SECONDS):
                if self._writes.is_set():
                    name = f"marker-{time.time_ns()}"
                    (number,) = source.execute(_INSERT, [name, len(self.committed) % 8]).fetchone() or (0,)
                    self._names[number] = name
                    self.committed[number] = time.monotonic()

    def _topic(self) -> None:
        topic = "engagement-events"
        consumer = KafkaConsumer(bootstrap_servers=self.servers.kafka, isolation_level="read_committed")
        try:
            parts = [TopicPartition(topic, one) for one in consumer.partitions_for_topic(topic) or ()]
            if not parts:
                return
            consumer.assign(parts)
            consumer.seek_to_beginning()
            self.published.clear()
            while not self._stop.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    self._take("kafka", [json.loads(one.value)["id"] for one in records], self.published)
        finally:
            consumer.close()

    def _take(self, sink: str, ids: list[int], into: list[int]) -> None:
        now = time.monotonic()
        into.extend(ids)
        for number in ids:
            self.seen[sink].setdefault(number, now)

    def _views(self) -> None:
        seen = self.seen["redis"]
        with redis.Redis.from_url(self.servers.redis_url, decode_responses=True, socket_timeout=2) as client:
            while not self._stop.wait(_LOOK_SECONDS["redis"]):
                those = [number for number in list(self._names)[-4_000:] if number not in seen][:500]
                if those:
                    scores: Any = client.zmscore("{engagement}:view:device:count", [self._names[one] for one in those])
                    now = time.monotonic()
                    seen.update({number: now for number, score in zip(those, scores, strict=True) if score})

    def _partner(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS["partner"]):
            with urlopen(f"http://127.0.0.1:{CONTROL_PORT}/deliveries?after={len(self.delivered)}", timeout=5) as told:
                lines = [line for line in told.read().splitlines() if line]
            ids = [msgspec.json.decode(line, type=Delivery).event_id or 0 for line in lines]
            self._take("partner", ids, self.delivered)

    def _files(self) -> None:
        from pyarrow import parquet

        table, known = deltalake.DeltaTable(self.table), set[str]()
        while not self._stop.wait(_LOOK_SECONDS["warehouse"]):
            table.update_incremental()
            for uri in set(table.file_uris()) - known:
                self._take("warehouse", parquet.read_table(uri, columns=["id"]).column("id").to_pylist(), [])
                known.add(uri)

    def verdict(self) -> dict[str, dict[str, int]]:
        """Return for each sink how many markers it has, and how many are lost, doubled, and were sent again.

        A marker's device is its own, so that a view tells how often it was counted.
        """
        wanted = set(self.committed)
        with redis.Redis.from_url(self.servers.redis_url, decode_responses=True) as client:
            counts = {
                name: int(n) for name, n in client.zrange("{engagement}:view:device:count", 0, -1, withscores=True)
            }
        views = [number for number, name in self._names.items() for _ in range(counts.get(name, 0))]
        table = deltalake.DeltaTable(self.table).to_pyarrow_table(columns=["id"]).column("id").to_pylist()
        return {
            "kafka": _held(wanted, self.published),
            "redis": _held(wanted, views),
            "warehouse": _held(wanted, table),
            "partner": _held(wanted, self.delivered, may_repeat=True),
        }


def _held(wanted: set[int], present: list[int], *, may_repeat: bool = False) -> dict[str, int]:
    times = Counter(present)
    again = sum(n - 1 for n in times.values())
    return {
        "events": len(times),
        "lost": len(wanted - times.keys()),
        "unknown": len(times.keys() - wanted),
        "doubled": 0 if may_repeat else again,
        "repeated": again if may_repeat else 0,
    }
