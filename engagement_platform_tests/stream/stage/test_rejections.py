"""A bad deploy does not make a dead letter of each message: the stage stops, and goes on after the fix."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from kafka.partitioner import murmur2

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.console.give_up import give_up
from engagement_platform.domain import rejections
from engagement_platform.domain.batches import Lines, Rejected
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.partner import message
from engagement_platform_tests.streaming import drain, read_all, running, wait_for
from engagement_platform_tests.warehouse import table_ids, write


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.2)


@pytest.fixture
def often(settings: Settings) -> Settings:
    return settings.replace(stage_seconds=0.2)


def letters(settings: Settings) -> list[Any]:
    return [json.loads(record.value) for record in read_all(settings, settings.topics.dead_letters)]


def send_bad(settings: Settings, number: int, key: bytes | None = b"bad") -> None:
    send_all(settings.kafka, [Message(settings.topics.events, key, b'{"id": %d}' % at) for at in range(number)])


def has_rejected(control: Standalone, number: int) -> Callable[[], bool]:
    return lambda: control.progress.detail.get("rejected") == number


def reject_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deploy a reader that takes nothing for an event."""
    monkeypatch.setattr(Lines, "of", lambda _, value: Rejected(None, "not an event: this reader is broken", "", value))


def test_after_a_bad_deploy_of_the_reader_it_goes_on_from_where_it_was(
    settings: Settings, often: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = write(writer, 20)
    drain(relay.run, settings)
    drain(stage.run, settings)
    ids += write(writer, 200)
    drain(relay.run, settings)
    with pytest.MonkeyPatch.context() as broken:
        reject_all(broken)
        with running(stage.run, often) as control:
            wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
            assert "this reader is broken" in in_words(control.progress.state)
            assert "give-up stage" in control.progress.state.remedy
            wait_for(lambda: control.progress.lag, "the lag")
            broken.undo()
            few = len(letters(settings))
            wait_for(lambda: len(table_ids(settings)) == len(ids) - few, "what was rejected")
            wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to say that it goes on")
    assert len(letters(settings)) == few <= rejections.MAX_ALLOWED
    assert len(set(table_ids(settings))) == len(ids) - few


def test_restarts_while_it_is_stopped_make_no_letters(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    ids = write(writer, 50)
    drain(relay.run, settings)
    with pytest.MonkeyPatch.context() as broken:
        reject_all(broken)
        for _ in range(3):
            with pytest.raises(StreamStopped, match="rejects 50 of the 50"):
                drain(stage.run, settings)
    assert letters(settings) == []
    drain(stage.run, settings)
    assert table_ids(settings) == ids


def test_a_trickle_of_bad_messages_alone_stops_it_after_a_few_letters(settings: Settings, often: Settings) -> None:
    drain(relay.run, settings)
    with running(stage.run, often) as control:
        for number in range(rejections.FIRST_ALLOWED):
            send_bad(settings, 1)
            wait_for(has_rejected(control, number + 1), "the letter")
        send_bad(settings, 1)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert f"after {rejections.FIRST_ALLOWED} that it has given up" in control.progress.state.reason
    assert len(letters(settings)) == rejections.FIRST_ALLOWED


def elsewhere(settings: Settings) -> bytes:
    """Return a key whose messages lie in another partition than the bad ones."""

    def partition(key: bytes) -> int:
        return int(murmur2(key) & 0x7FFFFFFF) % settings.topics.partitions

    return next(key for key in (b"%d" % number for number in count()) if partition(key) != partition(b"bad"))


def test_a_partition_of_bad_messages_stops_it_while_the_others_work(
    settings: Settings, often: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "MAX_IN_A_ROW", 3)
    drain(relay.run, settings)
    key = elsewhere(settings)
    with running(stage.run, often) as control:
        for number in range(3):
            send_all(
                settings.kafka, [Message(settings.topics.events, key, message(100 * number + at)) for at in range(50)]
            )
            send_bad(settings, 1)
            wait_for(has_rejected(control, number + 1), "the letter")
        send_bad(settings, 1)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
    assert len(letters(settings)) == 3


def test_an_operator_lets_it_give_up_what_another_program_wrote(
    settings: Settings, often: Settings, writer: psycopg.Connection[Any], in_environment: None
) -> None:
    ids = write(writer, 5)
    drain(relay.run, settings)
    send_bad(settings, 60)
    ids += write(writer, 5)
    drain(relay.run, settings)
    with running(stage.run, often) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        done = CliRunner().invoke(give_up, ["stage", "--yes"])
        assert done.exit_code == 0, done.output
        wait_for(lambda: table_ids(settings) == ids, "the events behind them")
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "it to go on")
    assert len(letters(settings)) == 60


def test_what_was_decided_and_is_not_used_up_is_left_to_the_next_run(
    settings: Settings, often: Settings, in_environment: None
) -> None:
    drain(relay.run, settings)
    send_bad(settings, 60)
    with pytest.raises(StreamStopped):
        drain(stage.run, settings)
    assert CliRunner().invoke(give_up, ["stage", "--events", "100", "--yes"]).exit_code == 0
    drain(stage.run, settings)
    send_bad(settings, 50)
    drain(stage.run, settings)
    assert len(letters(settings)) == 110
    send_bad(settings, 50)
    with pytest.raises(StreamStopped):
        drain(stage.run, settings)


def test_bad_messages_that_come_while_a_load_is_tried_again_become_letters_too(
    settings: Settings, often: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch grows while the database does not answer."""
    write(writer, 3)
    drain(relay.run, settings)
    send_bad(settings, 1)
    admission, fails = Loads.admission, [True, True]

    def fails_and_grows(self: Loads, table: str, days: Any) -> Any:
        if fails:
            fails.pop()
            send_bad(settings, 1)
            raise Unavailable("The platform database does not answer.")
        return admission(self, table, days)

    monkeypatch.setattr(Loads, "admission", fails_and_grows)
    with running(stage.run, often) as control:
        wait_for(lambda: control.progress.detail.get("rejected") == 3, "the load")
    assert len(letters(settings)) == 3
