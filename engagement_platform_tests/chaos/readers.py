"""The checker's own ways to what there is: the other Kafka client, Redis' own commands, DuckDB over the files, SQL.

Nothing here is the package's; a test holds that. All of them go to the servers directly, not by the proxies.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg
import redis

from engagement_platform_tests.chaos.verdict import Counts, Message, Views, message_of

OTHER = {"kafka-python": "librdkafka", "librdkafka": "kafka-python"}
"""Client of the run -> client of the checker."""
Raw = tuple[int, int, bytes | None]
"""Partition, offset and value of a message."""
VIEWS = tuple(
    f"{dimension}:{measure}" for dimension in ("content", "content_type", "device") for measure in ("count", "ms")
)


class Tail(Protocol):
    """Reads a topic's committed messages from its beginning, in the order of each partition."""

    def poll(self, seconds: float) -> Sequence[Raw]:
        """Return what has come, after at most so many seconds."""

    def at_end(self) -> bool:
        """Say whether all that is committed by now has been read."""

    def has_grown(self) -> bool:
        """Say whether the topic has more partitions by now than are read."""

    def close(self) -> None:
        """Close the connections."""


class _ByLibrdkafka:
    def __init__(self, servers: str, topic: str) -> None:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "chaos-checker",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "reconnect.backoff.max.ms": 250,
                "fetch.wait.max.ms": 50,
                "log_level": 0,  # a broker that is killed is part of the test
                "topic.metadata.refresh.interval.ms": 2_000,
            }
        )
        self._topic = topic
        self._partitions = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in self._numbers()]
        if not self._partitions:
            self._consumer.close()
            raise LookupError(f"There is no topic {topic} yet.")
        self._consumer.assign(self._partitions)

    def poll(self, seconds: float) -> Sequence[Raw]:
        found = self._consumer.consume(10_000, seconds)
        return [(m.partition() or 0, m.offset() or 0, m.value()) for m in found if m.error() is None]

    def _numbers(self) -> list[int]:
        return list(self._consumer.list_topics(self._topic, 10).topics[self._topic].partitions)

    def has_grown(self) -> bool:
        return len(self._numbers()) > len(self._partitions)

    def at_end(self) -> bool:
        positions = self._consumer.position(self._partitions)
        ends = [self._consumer.get_watermark_offsets(one, 10)[1] for one in self._partitions]
        begins = [self._consumer.get_watermark_offsets(one, 10)[0] for one in self._partitions]
        return all(
            position.offset >= end or begin == end for position, begin, end in zip(positions, begins, ends, strict=True)
        )

    def close(self) -> None:
        self._consumer.close()


class _ByKafkaPython:
    def __init__(self, servers: str, topic: str) -> None:
        from kafka import KafkaConsumer, TopicPartition

        self._consumer = KafkaConsumer(
            bootstrap_servers=servers,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            reconnect_backoff_ms=50,
            fetch_max_wait_ms=50,
        )
        self._topic = topic
        self._partitions = [TopicPartition(topic, number) for number in self._numbers()]
        if not self._partitions:
            self._consumer.close()
            raise LookupError(f"There is no topic {topic} yet.")
        self._consumer.assign(self._partitions)
        self._consumer.seek_to_beginning()

    def poll(self, seconds: float) -> Sequence[Raw]:
        found = self._consumer.poll(timeout_ms=int(1_000 * seconds), max_records=10_000)
        return [(m.partition, m.offset, m.value) for those in found.values() for m in those]

    def _numbers(self) -> list[int]:
        return list(self._consumer.partitions_for_topic(self._topic) or ())

    def has_grown(self) -> bool:
        return len(self._numbers()) > len(self._partitions)

    def at_end(self) -> bool:
        ends = self._consumer.end_offsets(self._partitions)
        return all(self._consumer.position(one) >= end for one, end in ends.items())

    def close(self) -> None:
        self._consumer.close()


def tail(client: str, servers: str, topic: str) -> Tail:
    """Return a reader of a topic by a client, named as the package's setting names them."""
    return _ByLibrdkafka(servers, topic) if client == "librdkafka" else _ByKafkaPython(servers, topic)


def whole(client: str, servers: str, topic: str, patience: float = 120.0) -> list[Raw]:
    """Return all committed messages of a topic, once nothing more has come for two seconds."""
    with closing(tail(client, servers, topic)) as reader:
        found, last = list[Raw](), time.monotonic()
        deadline = last + patience
        while time.monotonic() - last < 2.0 or not reader.at_end():
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            if some := reader.poll(0.2):
                found += some
                last = time.monotonic()
    return found


def messages(raw: Sequence[Raw]) -> list[Message]:
    """Return what is judged by of the events of a topic."""
    return [message_of(partition, offset, json.loads(value)) for partition, offset, value in raw if value is not None]


def letters(raw: Sequence[Raw], *sources: str) -> frozenset[int]:
    """Return the ids of the dead letters of some loops."""
    decoded = [json.loads(value) for _, _, value in raw if value is not None]
    return frozenset(one["event_id"] for one in decoded if one["source"] in sources and "event_id" in one)


def committed(dsn: str) -> list[int]:
    """Return the ids of the source's rows."""
    with psycopg.connect(dsn) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM engagement_events ORDER BY id")]


def rows_of_table(folder: Path) -> list[int]:
    """Return the ids in the Delta table, doubled ones twice, as DuckDB reads its files."""
    import deltalake
    import duckdb

    events = deltalake.DeltaTable(folder).to_pyarrow_dataset()
    with duckdb.connect() as database:
        database.register("events", events)
        return [number for (number,) in database.sql("SELECT id FROM events").fetchall()]


def views(client: redis.Redis, namespace: str) -> Views | None:
    """Return the views as of one moment; None while there are none."""
    with client.pipeline(transaction=True) as pipe:
        pipe.hgetall(f"{{{namespace}}}:meta")
        pipe.hgetall(f"{{{namespace}}}:offsets")
        for name in VIEWS:
            pipe.zrange(f"{{{namespace}}}:view:{name}", 0, -1, withscores=True)
        meta, offsets, *scores = pipe.execute()
    if "as_of" not in meta:
        return None
    counts: Counts = {
        name: {member: int(score) for member, score in those} for name, those in zip(VIEWS, scores, strict=True)
    }
    return Views(
        counts,
        {int(partition): int(offset) for partition, offset in offsets.items()},
        int(meta["as_of"]),
        int(meta["window_ms"]),
        int(meta["bucket_ms"]),
        int(meta["max_future_ms"]),
        meta["generation"],
    )


def taken(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the partner wrote down of each request that it took."""
    for line in file.read_text().splitlines():
        with suppress(json.JSONDecodeError):  # the line in which it was killed: it has answered nothing
            request = json.loads(line)
            if request["taken"]:
                yield request
