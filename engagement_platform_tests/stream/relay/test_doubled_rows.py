"""A read brings an id once, or the relay stops before it publishes anything of it."""

from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.source.history import Happened
from engagement_platform.console import doctor
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.replay import replay
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.stream.relay.sources import published, writer
from engagement_platform_tests.streaming import drain, insert
from engagement_platform_tests.warehouse import DAY, table_ids, write

__all__ = ["writer"]

CONTENT = "7b0a1f6e-0000-4000-8000-000000000001"
AS_VIEW = """
ALTER TABLE content RENAME TO content_table;
CREATE VIEW content AS SELECT * FROM content_table UNION ALL SELECT * FROM content_table WHERE slug = 'doubled';
GRANT SELECT ON content TO engagement_reader
"""


@pytest.fixture
def contents(writer: psycopg.Connection[Any]) -> None:
    writer.execute("INSERT INTO content VALUES (%s, 'doubled', 't', 'video', 60, now())", [CONTENT])


@pytest.mark.usefixtures("contents")
def test_a_view_with_two_rows_for_a_content_stops_the_stream_until_it_has_one(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    writer.execute(AS_VIEW)
    plain = insert(writer, 2)
    drain(relay.run, settings)
    doubled = insert(writer, 3, CONTENT)
    with pytest.raises(StreamStopped, match=f"content has several rows with id {CONTENT}"):
        drain(relay.run, settings)
    assert published(settings) == plain
    writer.execute("CREATE OR REPLACE VIEW content AS SELECT * FROM content_table")
    drain(relay.run, settings)
    assert published(settings) == plain + doubled


@pytest.mark.usefixtures("contents")
@pytest.mark.parametrize("limit", [{"relay_batch_rows": 1}, {"relay_batch_rows": 2}, {"relay_batch_bytes": 1_000}])
def test_a_doubled_row_at_the_end_of_a_read_is_noticed(
    settings: Settings, writer: psycopg.Connection[Any], limit: dict[str, int]
) -> None:
    writer.execute(AS_VIEW)
    insert(writer, 1)
    insert(writer, 3, CONTENT)
    with pytest.raises(StreamStopped, match="more than once"):
        drain(relay.run, settings.replace(**limit))
    assert published(settings) in ([], [1])


def test_two_rows_under_one_id_stop_the_stream(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    writer.execute("ALTER TABLE engagement_events DROP CONSTRAINT engagement_events_pkey")
    writer.execute("CREATE INDEX ON engagement_events (id)")
    writer.execute("INSERT INTO engagement_events (id, event_ts) VALUES (1, now()), (1, now())")
    with pytest.raises(StreamStopped, match="several rows with id 1"):
        drain(relay.run, settings)
    writer.execute("UPDATE engagement_events SET id = nextval('engagement_events_id_seq') + 1 WHERE ctid = '(0,1)'")
    drain(relay.run, settings)
    assert published(settings) == [1, 2]


@pytest.mark.usefixtures("contents")
def test_doctor_says_which_content_has_several_rows(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    assert not [finding for finding in doctor.examine(settings) if "several rows" in finding.what]
    writer.execute(AS_VIEW)
    (told,) = (finding for finding in doctor.examine(settings) if "several rows" in finding.what)
    assert (told.level, CONTENT in told.what) == ("fault", True)


@pytest.mark.usefixtures("contents")
def test_neither_a_rebuild_nor_a_replay_doubles_events(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    rows = write(writer, 3, content_id=CONTENT)
    rebuild_days(settings, [DAY], "before")
    writer.execute(AS_VIEW)
    with pytest.raises(EngagementError, match="content has several rows"):
        rebuild_days(settings, [DAY], "doubled")
    with pytest.raises(EngagementError, match="content has several rows"):
        replay(settings, Happened(*bounds(DAY)))
    assert table_ids(settings) == rows
    writer.execute("CREATE OR REPLACE VIEW content AS SELECT * FROM content_table")
    rebuild_days(settings, [DAY], "after")
    assert table_ids(settings) == rows
