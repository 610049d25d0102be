"""How fast the relay catches up, with a source and topics of its own."""

import time
from typing import Literal

import psycopg

from engagement_platform.local.stack import Endpoints
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import own_place

EVENTS, CONTENTS = 300_000, 2_000
CLIENTS: tuple[Literal["kafka-python", "librdkafka"], ...] = ("kafka-python", "librdkafka")
PER_SECOND = {"kafka-python": 18_000, "librdkafka": 30_000}
FILL = """
INSERT INTO content
SELECT gen_random_uuid(), 'slug-' || n, 'A title of some length, number ' || n, 'video', 60 + n, now()
  FROM generate_series(1, %(contents)s) AS n;
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT content.id, gen_random_uuid(), 'play', now(), n %% 100000, 'ios', '{"app": "4.2", "position_ms": 12345}'
  FROM generate_series(1, %(events)s) AS n
  JOIN content ON content.slug = 'slug-' || (1 + n %% %(contents)s)
"""


def run(endpoints: Endpoints) -> list[Figure]:
    """Fill a source, let a draining relay publish it with each client, and return what it reached."""
    return [figure for client in CLIENTS for figure in _caught_up(endpoints, client)]


def _caught_up(endpoints: Endpoints, client: Literal["kafka-python", "librdkafka"]) -> list[Figure]:
    with own_place(endpoints, start="earliest") as place:
        with psycopg.connect(place.source.writer_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as writer:
            writer.execute(FILL, {"contents": CONTENTS, "events": EVENTS})
            writer.execute("ANALYZE")
        kafka = place.settings.kafka.model_copy(update={"client": client})
        control = Standalone(drain=True)
        began, used = time.perf_counter(), time.process_time()
        relay.run(place.settings.model_copy(update={"kafka": kafka}), control)
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
    assert control.progress.events == EVENTS
    return [
        Figure(f"relay, catching up with {client}", EVENTS / seconds, "events/s", at_least=PER_SECOND[client]),
        Figure(f"relay, catching up with {client}: CPU", cpu / EVENTS * 1_000_000, "s per million events"),
    ]
