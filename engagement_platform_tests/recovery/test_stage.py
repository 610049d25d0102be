from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.domain.errors import EngagementError
from engagement_platform.recovery import stage as stage_recovery
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.streaming import drain, wait_for
from engagement_platform_tests.warehouse import DAY, table_ids, write


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


def die(*_: object, **__: object) -> None:
    raise Killed


def recreate_topic(settings: Settings) -> None:
    def exists() -> bool:
        with admin(settings.kafka) as client:
            return settings.topics.events in client.list_topics()

    with admin(settings.kafka) as client:
        client.delete_topics([settings.topics.events])
    wait_for(lambda: not exists(), "the topic to be gone")
    ensure_topics(settings)


def leave_a_load_open(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patched:
        patched.setattr(DeltaWarehouse, "append", die)
        with pytest.raises(Killed):
            drain(stage.run, settings)
    with Loads.opened(settings, "test") as loads, loads.session.connected() as connection:
        row = connection.execute(
            "SELECT load_id FROM engagement_platform.warehouse_load WHERE closed_at IS NULL"
        ).fetchone()
    assert row is not None
    return str(row[0])


def test_after_a_restart_the_new_topic_is_loaded_from_its_beginning(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write(writer, 3)
    drain(relay.run, settings)
    drain(stage.run, settings)
    write(writer, 2)
    drain(relay.run, settings)
    leave_a_load_open(settings, monkeypatch)
    recreate_topic(settings)
    assert stage_recovery.restart(settings) == [DAY]
    ids += write(writer, 2)
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert table_ids(settings) == ids
    with Loads.opened(settings, "test") as loads:
        assert [due.day for due in DueDays(loads.session).all()] == [DAY]


def test_a_restart_without_need_changes_nothing(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    ids = write(writer, 3)
    drain(relay.run, settings)
    drain(stage.run, settings)
    assert stage_recovery.restart(settings) == []
    drain(stage.run, settings)
    assert table_ids(settings) == ids


def test_a_load_that_is_given_up_makes_its_days_due(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer, 3)
    drain(relay.run, settings)
    load_id = leave_a_load_open(settings, monkeypatch)
    assert stage_recovery.give_up(settings, load_id) == [DAY]
    with pytest.raises(EngagementError, match="Open are: none"):
        stage_recovery.give_up(settings, load_id)
