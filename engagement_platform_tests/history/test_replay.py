import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.source.history import Happened
from engagement_platform.domain.errors import Unavailable
from engagement_platform.history.replay import replay
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, read_all
from engagement_platform_tests.streams import decode

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def write(source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        connection.execute(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
            "SELECT gen_random_uuid(), 's' || n, 'عنوان', 'video', 60, now() FROM generate_series(1, 3) AS n"
        )
        connection.execute(
            "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, raw_payload) "
            "SELECT content.id, 'play', '2026-03-01'::timestamptz + n * interval '6 hours', 1000 * n, '{\"a\": 1}' "
            "FROM content, generate_series(-1, 5) AS n"
        )
        connection.execute("INSERT INTO engagement_events (event_type, event_ts) VALUES ('play', 'infinity')")


def parts(records: list[Any]) -> dict[int, tuple[bytes | None, bytes]]:
    return {json.loads(record.value)["id"]: (record.key, record.value) for record in records}


def test_a_day_is_published_again_as_the_relay_wrote_it_and_elsewhere(
    settings: Settings, source_db: SourceDatabase
) -> None:
    write(source_db)
    drain(relay.run, settings)
    before = read_all(settings, settings.topics.events)
    assert replay(settings, Happened(DAY, DAY + timedelta(days=1))) == 12
    again = read_all(settings, settings.topics.replays)
    wanted = {record for record in parts(before).items() if DAY <= decode(record[1][1]).event_ts < DAY + timedelta(1)}
    assert set(parts(again).items()) == wanted
    assert len(again) == len(wanted) == 12
    assert len(read_all(settings, settings.topics.events)) == len(before)


def test_the_order_of_each_content_is_that_of_the_ids(settings: Settings, source_db: SourceDatabase) -> None:
    write(source_db)
    replay(settings, Happened(DAY, DAY + timedelta(days=2)))
    by_key: dict[bytes, list[int]] = {}
    for record in read_all(settings, settings.topics.replays):
        by_key.setdefault(record.key, []).append(json.loads(record.value)["id"])
    assert len(by_key) == 3
    assert all(ids == sorted(ids) for ids in by_key.values())


@pytest.mark.parametrize(("to_api", "delivered"), [(True, 12), (False, 0)])
def test_the_partner_gets_what_is_meant_for_it_and_the_others_nothing(
    settings: Settings, source_db: SourceDatabase, to_api: bool, delivered: int
) -> None:
    write(source_db)
    assert replay(settings, Happened(DAY, DAY + timedelta(days=1)), to_api=to_api) == 12
    with Receiver() as receiver:
        drain(forward.run, settings.replace(api_url=SecretStr(receiver.url)))
    assert len({each.key for each in receiver.deliveries}) == len(receiver.deliveries) == delivered
    drain(tally.run, settings)
    with closing(Views.connect(settings)) as views:
        assert views.totals().count == 0


def test_a_source_that_is_away_is_said(settings: Settings, source_db: SourceDatabase) -> None:
    away = settings.replace(source_dsn=settings.source.dsn.__class__("postgresql://u@127.0.0.1:1/x"))
    with pytest.raises(Unavailable, match="ENGAGEMENT_SOURCE_DSN"):
        replay(away, Happened(DAY, DAY + timedelta(days=1)))
