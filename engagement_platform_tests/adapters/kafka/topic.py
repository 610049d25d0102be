"""A topic of a test's own: created, filled, cut, widened, removed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from engagement_platform.settings import Settings

Sent = dict[str, Any]


class Topic:
    """The topic of the settings."""

    def __init__(self, settings: Settings, partitions: int = 2) -> None:
        self.name = settings.topics.events
        self._bootstrap = settings.kafka.bootstrap_servers
        self._transactions = 0
        self._admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        self.create(partitions)

    def create(self, partitions: int = 2) -> None:
        arrival = {"message.timestamp.type": "LogAppendTime"}

        def created() -> bool:
            # A deleted topic's name stays taken for a moment.
            try:
                self._admin.create_topics([NewTopic(self.name, partitions, 1, topic_configs=arrival)])
            except KafkaError:
                return False
            return True

        eventually(created)
        self._admin.wait_for_topics([self.name])

    def delete(self) -> None:
        self._admin.delete_topics([self.name])

    def recreate(self) -> None:
        self.delete()
        self.create()

    def widen(self, partitions: int) -> None:
        self._admin.create_partitions({self.name: partitions})
        self._admin.wait_for_topics([self.name])

    def cut(self, offsets: dict[int, int]) -> None:
        """Delete what lies before these offsets, as retention does."""
        self._admin.delete_records({TopicPartition(self.name, p): offset for p, offset in offsets.items()})

    @contextmanager
    def transaction(self) -> Iterator[KafkaProducer]:
        """Send within a transaction: committed at the end, aborted by an exception."""
        self._transactions += 1
        producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=f"{self.name}-{self._transactions}",
            retry_backoff_ms=5,
        )
        producer.init_transactions()
        producer.begin_transaction()
        try:
            yield producer
            producer.commit_transaction()
        except BaseException:
            producer.abort_transaction()
            raise
        finally:
            producer.close()

    def send(self, events: Iterable[Sent], partition: int | None = None) -> list[Sent]:
        """Commit the events in one transaction; return them."""
        sent = list(events)
        with self.transaction() as producer:
            for event in sent:
                put(producer, self.name, event, partition)
        return sent

    def send_raw(self, value: bytes | None, partition: int = 0) -> None:
        with self.transaction() as producer:
            producer.send(self.name, value, b"key", partition=partition)

    def close(self) -> None:
        self._admin.close()


def put(producer: KafkaProducer, topic: str, event: Sent, partition: int | None = None) -> None:
    """Send one event as the relay does."""
    key = event["content_id"].encode() if event["content_id"] else None
    headers = [("schema-version", b"1"), ("unseen-at", str(time.time_ns() // 1_000).encode())]
    producer.send(topic, json.dumps(event).encode(), key, headers=headers, partition=partition)


def event(number: int = 0, *, age: float = 0.0, **columns: Any) -> Sent:
    """Return an event that happened `age` seconds ago; every third has NULLs, every fifth a negative duration."""
    ts = datetime.now(UTC) - timedelta(seconds=age)
    null = number % 3 == 2
    return {
        "id": number,
        "content_id": None if null else f"content-{number % 7}",
        "user_id": None,
        "event_type": "play",
        "event_ts": ts.isoformat(timespec="microseconds"),
        "duration_ms": None if null else (number % 100) * (-1 if number % 5 == 4 else 1),
        "device": None if number % 4 == 3 else ("ios", "web")[number % 2],
        "raw_payload": None,
        "slug": None if null else f"slug-{number % 7}",
        "title": None if null else "عنوان",
        "content_type": None if null else "video",
        "length_seconds": 60,
        "engagement_seconds": 0.1,
        "engagement_pct": 0.01,
    } | columns


def eventually(holds: Callable[[], object], timeout: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
