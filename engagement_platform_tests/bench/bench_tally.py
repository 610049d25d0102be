"""How fast the tally catches up: `python -m engagement_platform_tests.bench.bench_tally`.

Uses the Kafka and the Redis of the settings, a topic and a namespace of its own, which it removes. Bounded by --events.
"""

import argparse
import json
import random
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta

import redis
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from engagement_platform import settings as configuration
from engagement_platform.adapters.redis.connection import connect
from engagement_platform.adapters.redis.views import Views
from engagement_platform.settings import Settings
from engagement_platform.stream import tally
from engagement_platform.stream.control import Standalone

BATCH = 2_000
SPREAD_SECONDS = 300
DEVICES = ("ios", "android", "web", "tv", None)


def main() -> None:
    """Fill a topic, let a draining tally count it, and print what it reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--contents", type=int, default=2_000)
    parser.add_argument("--late", type=float, default=5.0, help="mean seconds by which event_ts lies behind")
    arguments = parser.parse_args()
    name = f"bench-{uuid.uuid4().hex[:8]}"
    settings = configuration.load().model_copy(update={"topic": name, "redis_namespace": name})
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    admin.create_topics([NewTopic(name, 4, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    admin.wait_for_topics([name])
    try:
        fill(settings, arguments.events, arguments.contents, arguments.late)
        measure(settings, arguments.events)
    finally:
        admin.delete_topics([name])
        admin.close()
        remove(connect(settings), name)


def fill(settings: Settings, events: int, contents: int, late: float) -> None:
    """Produce events of the last minutes, nearly in order; a few contents get most of them, as in life."""
    producer = KafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        transactional_id=settings.topic,
        retry_backoff_ms=5,
        batch_size=262_144,
        linger_ms=5,
    )
    producer.init_transactions()
    ids = [str(uuid.uuid4()) for _ in range(contents)]
    now = datetime.now(UTC)
    draw = random.Random(1)
    for first in range(0, events, BATCH):
        producer.begin_transaction()
        header = [("schema-version", b"1"), ("unseen-at", str(time.time_ns() // 1_000).encode())]
        for number in range(first, min(first + BATCH, events)):
            content = ids[int(contents * draw.random() ** 3)]
            age = SPREAD_SECONDS * (1 - number / events) + draw.expovariate(1 / late)
            ts = now - timedelta(seconds=min(age, 500))
            producer.send(settings.topic, value(number, content, ts, draw), content.encode(), headers=header)
        producer.commit_transaction()
    producer.close()


def value(number: int, content: str, ts: datetime, draw: random.Random) -> bytes:
    """Return a message as the relay writes it, of about 400 bytes."""
    return json.dumps(
        {
            "id": number,
            "content_id": content,
            "user_id": str(uuid.UUID(int=draw.getrandbits(128))),
            "event_type": "play",
            "event_ts": ts.isoformat(timespec="microseconds"),
            "duration_ms": draw.randrange(100_000),
            "device": draw.choice(DEVICES),
            "raw_payload": {"position": number},
            "slug": f"slug-{content[:8]}",
            "title": f"Title of {content[:8]}",
            "content_type": "video",
            "length_seconds": 1_800,
            "engagement_seconds": 12.34,
            "engagement_pct": 0.25,
        },
        separators=(",", ":"),
    ).encode()


def measure(settings: Settings, events: int) -> None:
    """Drain the topic and print events per second, in wall time and in time of this process."""
    control = Standalone(drain=True)
    started, used = time.perf_counter(), time.process_time()
    tally.run(settings, control)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    counted = Views.connect(settings).totals().count
    figures = {"events": events, "seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}
    json.dump(figures | {"per_second": round(events / seconds)}, sys.stdout)
    if counted != events:
        sys.exit(f"{counted} of {events} events are in the views")


def remove(client: redis.Redis, name: str) -> None:
    """Remove the namespace."""
    for key in client.scan_iter(f"{{{name}}}:*"):
        client.unlink(key)


if __name__ == "__main__":
    main()
