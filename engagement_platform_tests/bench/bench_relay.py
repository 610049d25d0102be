"""How fast the relay catches up, with a source and topics of its own."""

import time

import psycopg

from engagement_platform.local.stack import Endpoints
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import own_place

EVENTS, CONTENTS = 300_000, 2_000
PER_SECOND = 18_000
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
    """Fill a source, let a draining relay publish it, and return what it reached."""
    with own_place(endpoints, start="earliest") as place:
        with psycopg.connect(place.source.writer_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as writer:
            writer.execute(FILL, {"contents": CONTENTS, "events": EVENTS})
            writer.execute("ANALYZE")
        control = Standalone(drain=True)
        began = time.perf_counter()
        relay.run(place.settings, control)
        seconds = time.perf_counter() - began
    assert control.progress.events == EVENTS
    return [Figure("relay, catching up", EVENTS / seconds, "events/s", at_least=PER_SECOND)]
