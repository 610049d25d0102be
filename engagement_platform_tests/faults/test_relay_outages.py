"""Servers that are killed, frozen and started again under the relay: it waits, says so once, and loses nothing."""

import json
import logging
import secrets
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.source import reader
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests import daemons
from engagement_platform_tests.adapters.platform.frozen import frozen_postgres
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.streaming import insert, read_all, running, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def source(own_stack: Endpoints) -> SourceDatabase:
    return make_source(own_stack)[1]


@pytest.fixture
def own_settings(own_stack: Endpoints, source: SourceDatabase) -> Settings:
    return make_settings(own_stack, source.dsn, own_stack.platform_dsn, transaction_timeout_ms=2_000)


def write(source: SourceDatabase, n: int) -> None:
    with psycopg.connect(source.writer_dsn) as connection:
        insert(connection, n)


def committed(source: SourceDatabase) -> list[int]:
    with psycopg.connect(source.writer_dsn) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM engagement_events ORDER BY id")]


def ids(settings: Settings) -> list[int]:
    return sorted(json.loads(record.value)["id"] for record in read_all(settings, settings.topics.events))


@pytest.mark.parametrize("name", ["postgres", "kafka"])
def test_a_server_killed_and_back(
    own_stack_folder: Path, own_settings: Settings, source: SourceDatabase, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = daemons.server(own_stack_folder, name)
    with caplog.at_level(logging.WARNING, "engagement_platform"), running(relay.run, own_settings) as control:
        write(source, 20)
        wait_for(lambda: control.progress.events == 20, "the first events")
        daemons.kill(server.daemon)
        if name == "kafka":
            write(source, 20)  # without events the relay has no reason to notice
        wait_for(lambda: "Waiting for it" in caplog.text, "the relay to notice")
        server.start()
        write(source, 20)
        wait_for(lambda: len(ids(own_settings)) >= len(committed(source)), "the events after the outage", 60)
        assert ids(own_settings) == committed(source)  # a crash skips ids: the sequence is logged ahead
    lines = [record.getMessage() for record in caplog.records if record.name == "engagement_platform.relay"]
    lines = [line for line in lines if "had lost the end of a transaction" not in line]  # it may, at any kill
    assert [("Waiting" in line, "answers again" in line) for line in lines] == [(True, False), (False, True)]


def test_a_frozen_source_is_noticed(
    own_stack_folder: Path,
    own_settings: Settings,
    source: SourceDatabase,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_PATIENCE_SECONDS", 2.0)
    with caplog.at_level(logging.WARNING), running(relay.run, own_settings) as control:
        write(source, 5)
        wait_for(lambda: control.progress.events == 5, "the first events")
        with frozen_postgres(own_stack_folder):
            wait_for(lambda: "The source does not answer" in caplog.text, "the relay to say so")
        write(source, 5)
        wait_for(lambda: ids(own_settings) == committed(source), "all events")


def test_kafka_frozen_while_a_transaction_commits(
    own_stack_folder: Path, own_settings: Settings, source: SourceDatabase
) -> None:
    """The relay gives up waiting while the broker may still commit: what it then sends must not be sent twice."""
    kafka = daemons.server(own_stack_folder, "kafka")
    with running(relay.run, own_settings) as control:
        write(source, 5)
        wait_for(lambda: control.progress.events == 5, "the first events")
        for _ in range(3):
            daemons.pause(kafka.daemon)
            try:
                write(source, 50)
                control.stop.wait(own_settings.kafka.transaction_timeout_ms / 1000 + 0.5)  # longer than it waits
            finally:
                daemons.resume(kafka.daemon)
        wait_for(lambda: len(ids(own_settings)) >= 155, "all events", 60)
    assert ids(own_settings) == committed(source)


def test_the_platform_database_is_not_needed_to_go_on(own_settings: Settings, source: SourceDatabase) -> None:
    with running(relay.run, own_settings) as control:
        write(source, 1)
        wait_for(lambda: control.progress.events == 1, "the first event")
    gone = own_settings.replace(platform_dsn=SecretStr(f"postgresql://x:{secrets.token_hex(4)}@127.0.0.1:1/x"))
    with running(relay.run, gone) as control:
        write(source, 1)
        wait_for(lambda: control.progress.events == 1, "an event without the platform database")


def test_without_the_platform_database_a_missing_checkpoint_is_waited_for(
    own_settings: Settings, source: SourceDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether this is a first start or a loss cannot be told without the copy: never guess."""
    write(source, 1)
    gone = own_settings.replace(platform_dsn=SecretStr("postgresql://127.0.0.1:1/x"))
    with caplog.at_level(logging.WARNING), running(relay.run, gone) as control:
        wait_for(lambda: "platform database does not answer" in caplog.text, "the relay to say so")
        assert control.progress.events == 0
