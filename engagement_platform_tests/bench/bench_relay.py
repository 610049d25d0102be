"""How fast the relay catches up: `python -m engagement_platform_tests.bench.bench_relay`.

Uses the servers of the local stack that the settings name, with tables, topics and a source database of its own.
"""

import argparse
import json
import sys
import time

import psycopg

from engagement_platform.local.stack import Endpoints
from engagement_platform.stream import relay
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.conftest import make_settings, make_source

CONTENTS = 2_000
FILL = """
INSERT INTO content
SELECT gen_random_uuid(), 'slug-' || n, 'A title of some length, number ' || n, 'video', 60 + n, now()
  FROM generate_series(1, %(contents)s) AS n;
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT content.id, gen_random_uuid(), 'play', now(), n %% 100000, 'ios', '{"app": "4.2", "position_ms": 12345}'
  FROM generate_series(1, %(events)s) AS n
  JOIN content ON content.slug = 'slug-' || (1 + n %% %(contents)s)
"""


def run(endpoints: Endpoints, events: int) -> dict[str, float]:
    """Fill a source, let a draining relay publish it, and return what it reached."""
    _, source = make_source(endpoints)
    with psycopg.connect(source.writer_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as writer:
        writer.execute(FILL, {"contents": CONTENTS, "events": events})
        writer.execute("ANALYZE")
    control = Standalone(drain=True)
    settings = make_settings(endpoints, source.dsn, endpoints.platform_dsn)
    began = time.perf_counter()
    relay.run(settings, control)
    seconds = time.perf_counter() - began
    return {"events": control.progress.events, "seconds": round(seconds, 2), "per_second": round(events / seconds)}


def main() -> None:
    """Run against the servers of a state folder."""
    from pathlib import Path

    from engagement_platform.local import stack

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--state-dir", type=Path, default=Path(".engagement"))
    arguments = parser.parse_args()
    json.dump({"relay, catching up": run(stack.up(arguments.state_dir), arguments.events)}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
