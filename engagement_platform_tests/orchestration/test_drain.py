"""The real loops, drained by Dagster in one process."""

import uuid

import dagster as dg
import psycopg
import pytest

from engagement_platform.definitions import definitions
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streams import PACKAGED

ROWS = 50


def write_events(dsn: str) -> None:
    content = uuid.uuid4()
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts)"
            " VALUES (%s, 'a', 'A', 'podcast', 60, now())",
            [content],
        )
        connection.execute(
            "INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device)"
            " SELECT %s, gen_random_uuid(), 'play', now(), 1500, 'ios' FROM generate_series(1, %s)",
            [content, ROWS],
        )


def events_reported(instance: dg.DagsterInstance, loop: str) -> object:
    event = instance.get_latest_materialization_event(streamed_key(PACKAGED, loop))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata["events"].value


@pytest.mark.usefixtures("in_environment")
def test_a_drain_takes_what_is_there_to_redis_and_ends(source_db: SourceDatabase) -> None:
    write_events(source_db.writer_dsn)
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("engagement_stream")
        result = job.execute_in_process(run_config={"lease_seconds": 0}, instance=instance)
        assert result.success
        assert events_reported(instance, "relay") == ROWS
        assert events_reported(instance, "tally") == ROWS
