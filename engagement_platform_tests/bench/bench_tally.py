"""How fast the tally catches up, in a process of its own, with a topic and a namespace of its own."""

import json
import random
import time
import uuid
from datetime import UTC, datetime, timedelta

from kafka import KafkaProducer

from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.views import Views
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import apart, own_place

EVENTS, CONTENTS = 300_000, 2_000
LATE_SECONDS = 5.0
"""The mean by which event_ts lies behind."""
PER_SECOND = 45_000
BATCH = 2_000
SPREAD_SECONDS = 300
DEVICES = ("ios", "android", "web", "tv", None)


def run(endpoints: Endpoints) -> list[Figure]:
    """Fill a topic, let a draining tally count it, and return what it reached."""
    with own_place(endpoints) as place:
        fill(place.settings)
        try:
            seconds, cpu = apart(drain, place.settings)
            counted = Views.connect(place.settings).totals().count
        finally:
            remove(place.settings)
    assert counted == EVENTS, f"{counted} of {EVENTS} events are in the views"
    return [
        Figure("tally, catching up", EVENTS / seconds, "events/s", at_least=PER_SECOND),
        Figure("of its time, on the processor", 100 * cpu / seconds, "%"),
    ]


def fill(settings: Settings) -> None:
    """Produce events of the last minutes, nearly in order; a few contents get most of them, as in life."""
    producer = KafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        transactional_id=settings.topics.events,
        retry_backoff_ms=5,
        batch_size=262_144,
        linger_ms=5,
    )
    producer.init_transactions()
    ids = [str(uuid.uuid4()) for _ in range(CONTENTS)]
    now = datetime.now(UTC)
    draw = random.Random(1)
    for first in range(0, EVENTS, BATCH):
        producer.begin_transaction()
        header = [("schema-version", b"1"), ("unseen-at", str(time.time_ns() // 1_000).encode())]
        for number in range(first, min(first + BATCH, EVENTS)):
            content = ids[int(CONTENTS * draw.random() ** 3)]
            age = SPREAD_SECONDS * (1 - number / EVENTS) + draw.expovariate(1 / LATE_SECONDS)
            ts = now - timedelta(seconds=min(age, 500))
            producer.send(settings.topics.events, value(number, content, ts, draw), content.encode(), headers=header)
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


def drain(settings: Settings) -> tuple[float, float]:
    """Count what is in the topic; return the seconds it took, in wall time and in time of the process."""
    return timed(settings, Standalone(drain=True))


def timed(settings: Settings, control: Standalone) -> tuple[float, float]:
    """Let a tally count; return the seconds it took, in wall time and in time of the process."""
    began, used = time.perf_counter(), time.process_time()
    tally.run(settings, control)
    return time.perf_counter() - began, time.process_time() - used


def remove(settings: Settings) -> None:
    """Remove the namespace."""
    client = connect_redis(settings.redis)
    for key in client.scan_iter(f"{{{settings.redis.namespace}}}:*"):
        client.unlink(key)
