"""Rows that cannot be published, many at once, stop the relay before it publishes anything of the read."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.give_up import give_up
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.test_loop import dead_letters, published
from engagement_platform_tests.streaming import drain, insert, running, wait_for


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


def insert_bad(writer: psycopg.Connection[Any], number: int) -> list[int]:
    """Insert rows whose time no message can carry."""
    rows = writer.execute(
        "INSERT INTO engagement_events (event_type, event_ts) "
        "SELECT 'play', 'infinity' FROM generate_series(1, %s) RETURNING id",
        [number],
    ).fetchall()
    return [row[0] for row in rows]


def test_after_the_owner_has_mended_the_rows_all_are_published_once(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = insert(writer, 5)
    drain(relay.run, settings)
    ids += insert(writer, 3)
    with writer.transaction():
        ids += insert_bad(writer, 40)
        ids += insert(writer, 3)
    for _ in range(2):
        with pytest.raises(StreamStopped, match="rejects 40 of the"):
            drain(relay.run, settings)
    with running(relay.run, settings) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert "event_ts is outside" in in_words(control.progress.state)
        writer.execute("UPDATE engagement_events SET event_ts = now() WHERE event_ts = 'infinity'")
        wait_for(lambda: published(settings) == ids, "all events")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to say that it goes on")
    assert dead_letters(settings) == {}


def test_an_operator_lets_it_give_up_the_rows_of_a_late_transaction(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], in_environment: None
) -> None:
    """Their ids lie below those that were published."""
    ensure_schema(settings)
    drain(relay.run, settings)
    with psycopg.connect(source_db.writer_dsn) as late, running(relay.run, settings) as control:
        bad = insert_bad(late, 40)
        ids = insert(writer, 5)
        wait_for(lambda: published(settings) == ids, "the events above them")
        late.commit()
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert CliRunner().invoke(give_up, ["relay", "--yes"]).exit_code == 0
        wait_for(lambda: sorted(dead_letters(settings)) == bad, "the rows to be given up")


def test_an_operator_lets_it_give_up_the_rows(
    settings: Settings, writer: psycopg.Connection[Any], in_environment: None
) -> None:
    ensure_schema(settings)
    drain(relay.run, settings)
    bad = insert_bad(writer, 40)
    ids = insert(writer, 5)
    with running(relay.run, settings) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert CliRunner().invoke(give_up, ["relay", "--yes"]).exit_code == 0
        wait_for(lambda: published(settings) == ids, "the events behind them")
    assert sorted(dead_letters(settings)) == bad
