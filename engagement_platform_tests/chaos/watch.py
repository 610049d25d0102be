"""Commits a marker each tenth of a second, and looks when it is to be seen in each sink."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import redis

from engagement_platform_tests.again import again
from engagement_platform_tests.chaos import readers
from engagement_platform_tests.chaos.fault import SINKS
from engagement_platform_tests.chaos.partner import is_poison
from engagement_platform_tests.chaos.standstill import Marker
from engagement_platform_tests.chaos.verdict import Message, message_of

EVERY_SECONDS = 0.1
_CONTENTS = 8
"""That take turns, so that every partition has markers."""
_LOOK_SECONDS = {"redis": 0.02, "warehouse": 0.25, "partner": 0.05}
_WINDOW_SECONDS = 580.0
"""An event leaves the views after ten minutes."""
_GROWN_SECONDS = 5.0
"""How often it is looked whether the topic has more partitions."""
_INSERT = """
INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device)
VALUES (%s, 'play', clock_timestamp(), 1, %s) RETURNING id
"""
PREFIX = "marker-"


@dataclass(frozen=True)
class Where:
    """What is looked at; all addresses are the servers' own, not those of the proxies."""

    writer_dsn: str
    kafka: str
    topic: str
    kafka_client: str
    """Of the checker."""
    redis_url: str
    namespace: str
    table: Path
    partner: Path


@dataclass
class Watch:
    """What was seen so far."""

    where: Where
    markers: list[Marker] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    sequences: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Content -> the markers' ids in the order of their commits."""
    seen: dict[str, dict[int, float]] = field(default_factory=lambda: {sink: {} for sink in SINKS})
    topic: list[Message] = field(default_factory=list)
    past: list[Message] = field(default_factory=list)
    """Of topics of the same name that were deleted, each with partitions of its own."""
    expired: list[Message] = field(default_factory=list)
    """That the topic does not keep any more."""
    lost_at: float = 0.0
    """When the last of them was."""
    errors: dict[str, str] = field(default_factory=dict)
    """Sink -> the last error of looking there."""
    _tables: int = 1
    _names: dict[int, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    writes: threading.Event = field(default_factory=threading.Event)
    """Set while markers are written."""

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """Write and look while the block runs."""
        self.writes.set()
        work: dict[str, Callable[[], None]] = {
            "source": self._write, "kafka": self._tail, "redis": self._redis, "warehouse": self._table,
            "partner": self._partner,
        }  # fmt: skip
        with again(work, self._stop, self.errors, pause=0.05):
            yield self

    def flowed_since(self, at: float) -> bool:
        """Say whether each sink has a marker of each content that was committed after a time."""
        after = [m.event_id for m in list(self.markers) if m.committed > at and not is_poison(m.event_id)][:_CONTENTS]
        return len(after) == _CONTENTS and all(seen.keys() >= set(after) for seen in self.seen.values())

    def lose_table(self) -> None:
        """Look into the table that is at its place from now on: it is another one."""
        self._tables += 1

    def lose_topic(self) -> None:
        """Take note that the topic is gone with all that it had; what comes is of another one."""
        self.lost_at = time.time()
        era = 1_000 * (1 + len({message.partition // 1_000 for message in self.past}))
        self.past += [replace(message, partition=message.partition + era) for message in self.topic]
        self.topic, self.expired = [], []

    def expire(self, ends: Mapping[int, int]) -> None:
        """Take note that the topic keeps only the offsets from these on."""
        self.expired = [message for message in list(self.topic) if message.offset < ends.get(message.partition, 0)]

    def stands(self, at: float) -> list[str]:
        """Return the sinks that have no marker that was committed after a time."""
        after = {marker.event_id for marker in list(self.markers) if marker.committed > at}
        return [sink for sink, seen in self.seen.items() if after.isdisjoint(seen)]

    def _write(self) -> None:
        with psycopg.connect(self.where.writer_dsn, autocommit=True, connect_timeout=2) as writer:
            writer.execute("SET statement_timeout = '3s'")
            if not self.contents:
                found = writer.execute("SELECT id::text FROM content ORDER BY id LIMIT %s", [_CONTENTS])
                self.contents = [content for (content,) in found]
            due = time.monotonic()
            while not self._stop.is_set():
                if not self.writes.is_set():
                    self._stop.wait(0.05)
                    continue
                content = self.contents[len(self.markers) % _CONTENTS]
                name = f"{PREFIX}{time.time_ns()}"
                (number,) = writer.execute(_INSERT, [content, name]).fetchone() or (0,)
                self._names[number] = name
                self.sequences[content].append(number)
                self.markers.append(Marker(number, time.time()))
                due = max(due + EVERY_SECONDS, time.monotonic() - 1)
                self._stop.wait(max(0.0, due - time.monotonic()))

    def _tail(self) -> None:
        with closing(readers.tail(self.where.kafka_client, self.where.kafka, self.where.topic)) as reader:
            position, topic = dict[int, int](), self.topic
            for message in self.topic:
                position[message.partition] = message.offset
            looked = time.monotonic()
            while not self._stop.is_set():
                if time.monotonic() - looked > _GROWN_SECONDS:
                    looked = time.monotonic()
                    if reader.has_grown():
                        return
                found = reader.poll(0.1)
                if self.topic is not topic:
                    return
                now, seen = time.time(), self.seen["kafka"]
                for partition, offset, value in found:
                    if value is not None and offset > position.get(partition, -1):
                        message = message_of(partition, offset, json.loads(value))
                        topic.append(message)
                        seen.setdefault(message.event_id, now)

    def _redis(self) -> None:
        key = f"{{{self.where.namespace}}}:view:device:count"
        with redis.Redis.from_url(self.where.redis_url, decode_responses=True, socket_timeout=2) as client:
            begin, seen = 0, self.seen["redis"]
            while not self._stop.wait(_LOOK_SECONDS["redis"]):
                while begin < len(self.markers) and self._is_done(self.markers[begin], seen):
                    begin += 1
                those = [m for m in self.markers[begin : begin + 500] if m.event_id not in seen]
                if those:
                    scores: Any = client.zmscore(key, [self._names[m.event_id] for m in those])
                    now = time.time()
                    seen.update({m.event_id: now for m, score in zip(those, scores, strict=True) if score})

    def _is_done(self, marker: Marker, seen: dict[int, float]) -> bool:
        """Say whether there is no use in looking for it: it was seen, or has left the window."""
        return marker.event_id in seen or time.time() - marker.committed > _WINDOW_SECONDS

    def _table(self) -> None:
        import deltalake
        from pyarrow import parquet

        tables, table, known = self._tables, deltalake.DeltaTable(self.where.table), set[str]()
        while self._tables == tables and not self._stop.wait(_LOOK_SECONDS["warehouse"]):
            table.update_incremental()
            now = time.time()
            for uri in set(table.file_uris()) - known:
                for number in parquet.read_table(uri, columns=["id"]).column("id").to_pylist():
                    self.seen["warehouse"].setdefault(number, now)
                known.add(uri)

    def _partner(self) -> None:
        with self.where.partner.open() as file:
            while not self._stop.is_set():
                line = file.readline()
                if not line.endswith("\n"):
                    file.seek(file.tell() - len(line))
                    self._stop.wait(_LOOK_SECONDS["partner"])
                    continue
                with suppress(json.JSONDecodeError):
                    request = json.loads(line)
                    for number, _, _ in request["events"] if request["taken"] else ():
                        self.seen["partner"].setdefault(number, request["at"])
