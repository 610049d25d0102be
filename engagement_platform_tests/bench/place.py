"""What a benchmark has to itself: databases, topics and a folder; a source full of events; a process of its own."""

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ParamSpec, TypeVar

import psycopg
from psycopg import sql

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.kafka_admin import admin

P = ParamSpec("P")
T = TypeVar("T")

SEED = 7
_FILL = """
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT CASE WHEN random() > 0.004 THEN contents.ids[1 + floor(cardinality(contents.ids) * random() ^ 3)] END,
       CASE WHEN random() > 0.02 THEN md5(floor(50000 * random())::text)::uuid END,
       (ARRAY['play', 'pause', 'finish', 'click'])[1 + floor(4 * random())],
       %(day)s::timestamp AT TIME ZONE 'UTC' + (n - random()) / %(events)s * interval '86399 seconds',
       CASE WHEN random() > 0.3 THEN floor(3600000 * random()) END,
       (ARRAY['ios', 'android', 'web', 'smart-tv', 'car', 'watch 🕶️', NULL])[1 + floor(7 * random() ^ 2)],
       CASE WHEN random() > 0.05 THEN format(
           '{"app": "7.%%s.0", "seq": %%s, "session": "%%s", "offline": false, "position_ms": %%s, "agent": "%%s"}',
           floor(12 * random()), n, md5(floor(200000 * random())::text), floor(3600000 * random()),
           left(%(agent)s, 160 - floor(150 * random())::int))::jsonb END
  FROM generate_series(1, %(events)s) AS n, (SELECT array_agg(id ORDER BY slug) AS ids FROM content) AS contents
"""
_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1 EngagementPlayer/7.12 (build 4711; en-GB)"
)


@dataclass(frozen=True)
class Place:
    """What a benchmark has to itself."""

    source: SourceDatabase
    settings: Settings


@contextmanager
def own_place(endpoints: Endpoints, start: str = "latest") -> Iterator[Place]:
    """Make databases, topics and a folder, ready for the stream; remove them afterwards."""
    names = [make_source(endpoints), make_source(endpoints)]
    source, platform = names[0][1], names[1][1]
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    settings = make_settings(endpoints, source.dsn, platform.writer_dsn, start=start, state_dir=folder)
    try:
        fill_catalogue(source.writer_dsn, SEED)
        ensure_schema(settings)
        ensure_topics(settings)
        yield Place(source, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with admin(settings.kafka) as client:
            client.delete_topics([settings.topics.events, settings.topics.checkpoint, settings.topics.dead_letters])
        with psycopg.connect(endpoints.admin_dsn, autocommit=True) as connection:
            for name, _ in names:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def fill(source: SourceDatabase, events: int, *days: date) -> None:
    """Write events of each day as people make them: a few contents get most of them, values are missing at times.

    Without the keys' checks, which only the writing would pay for. What the server would still have to do for these
    rows is done here, not while something is measured.
    """
    with psycopg.connect(source.admin_dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET session_replication_role = replica")
        for day in days:
            connection.execute(_FILL, {"day": day, "events": events, "agent": _AGENT})
        connection.execute("VACUUM (ANALYZE) engagement_events")  # else the first reader would mark each row as seen
        connection.execute("CHECKPOINT")


def apart(work: Callable[P, T], *what: P.args, **how: P.kwargs) -> T:
    """Do it in a new process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *what, **how).result()
