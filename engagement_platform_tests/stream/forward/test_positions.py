"""Where forward stands is known a second time: a topic or a group that is lost is no first start."""

import logging
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient

from engagement_platform.adapters.kafka.group import GroupReader
from engagement_platform.adapters.platform import forwarded
from engagement_platform.adapters.platform.connection import connect_platform
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.source.history import Happened
from engagement_platform.cli import group as commands
from engagement_platform.console.give_up import forward as command
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity, in_words
from engagement_platform.history.replay import replay
from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.recovery.forward import restart
from engagement_platform.settings import Settings, variable
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.faults.databases import shut
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import ids_of, publish, received
from engagement_platform_tests.streaming import drain, insert, running, wait_for
from engagement_platform_tests.warehouse import write


def delete(settings: Settings, *topics: str) -> None:
    """Delete topics; Kafka drops the offsets of the group with them."""
    with admin(settings.kafka) as client:
        client.delete_topics(list(topics))
    wait_for(lambda: not set(topics) & _topics(settings), "the topics to be gone")


def _topics(settings: Settings) -> set[str]:
    with admin(settings.kafka) as client:
        return set(client.list_topics())


def drop_group(settings: Settings) -> None:
    """Let the group's offsets vanish, as they do after a week without use."""
    with admin(settings.kafka) as client:
        assert isinstance(client, KafkaAdminClient)
        client.delete_groups([settings.topics.forward_group])


def stored(settings: Settings) -> Any:
    reader = GroupReader(settings.kafka, settings.topics.events, settings.topics.forward_group)
    try:
        return reader.stored()
    finally:
        reader.close()


def test_a_topic_that_is_deleted_while_events_wait_stops_it_and_the_remedy_delivers_them(
    to: To, receiver: Receiver, source_db: SourceDatabase, in_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_schema(to())
    writer = psycopg.connect(source_db.writer_dsn, autocommit=True)
    first = insert(writer, 20)
    publish(to(), first)
    drain(forward.run, to())
    receiver.down()
    waiting = insert(writer, 50)
    publish(to(), waiting)
    with running(forward.run, to(api_breaker_failures=1)) as control:
        wait_for(lambda: control.progress.state.kind is Activity.WAITS, "the partner to be down")
    delete(to(), to().topics.events)
    after = insert(writer, 5)
    publish(to(), after)
    assert stored(to()) == {}
    receiver.up()
    with pytest.raises(
        StreamStopped, match=r"forward restart --at earliest.*backfill --to api --since 20\d\d-"
    ) as raised:
        drain(forward.run, to())
    with running(forward.run, to()) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        assert "forward restart" in in_words(control.progress.state)
    assert received(receiver) == set(first)
    # The remedy, as it is printed.
    monkeypatch.setenv("ENGAGEMENT_FORWARD_GROUP", to().topics.forward_group)
    done = CliRunner().invoke(command, ["restart", "--at", "earliest", "--yes"])
    assert done.exit_code == 0, done.output
    since = re.search(r"--since (\S+)", str(raised.value))
    assert since is not None
    assert f"engagement-platform backfill --to api --since {since[1]}" in done.output, "it is not told only once"
    again = CliRunner().invoke(command, ["restart", "--at", "earliest", "--yes"])
    assert "--since" not in again.output, "nothing is missing in the topic from which it goes on"
    begin = datetime.fromisoformat(since[1]).replace(tzinfo=UTC)
    replay(to(), Happened(begin, datetime.now(UTC) + timedelta(minutes=1)), to_api=True)
    drain(forward.run, to())
    assert received(receiver) == {*first, *waiting, *after}


def test_the_commands_that_the_stop_prints_bring_what_was_published_since_and_late_commits_of_long_ago(
    to: To, receiver: Receiver, source_db: SourceDatabase, in_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events are chosen by when the relay published them; of those that the partner has, none comes again."""
    for name in ("forward_group", "api_url", "api_signing_key"):
        value = to().given()[name]
        monkeypatch.setenv(variable(name), value if isinstance(value, str) else value.get_secret_value())
    ensure_schema(to())
    writer, late = psycopg.connect(source_db.writer_dsn, autocommit=True), psycopg.connect(source_db.writer_dsn)
    old = write(late, 3, datetime.now(UTC).date() - timedelta(days=20))
    first = insert(writer, 20)
    drain(relay.run, to())
    drain(forward.run, to())
    published_long_ago(to())
    drain(relay.run, to())  # keeps another checkpoint, as each minute does
    published_long_ago(to())
    receiver.down()
    late.commit()
    waiting = insert(writer, 30)
    drain(relay.run, to())
    with running(forward.run, to(api_breaker_failures=1)) as control:
        wait_for(lambda: control.progress.state.kind is Activity.WAITS, "the partner to be down")
    delete(to(), to().topics.events)
    after = insert(writer, 5)
    drain(relay.run, to())  # the topic is made anew
    receiver.up()
    with running(forward.run, to()) as control:
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        remedy = control.progress.state.remedy
    for typed in re.findall(r"engagement-platform ((?:forward restart|backfill) [^;,]+)", remedy):
        done = CliRunner().invoke(commands, [*typed.split(), *(["--yes"] if "restart" in typed else [])])
        assert done.exit_code == 0, done.output
    assert "published from" in done.output
    drain(forward.run, to())
    assert received(receiver) == {*first, *old, *waiting, *after}
    assert len([id_ for id_ in ids_of(list(receiver.deliveries)) if id_ in first]) == len(first)


def published_long_ago(settings: Settings) -> None:
    """What the relay has published until now it published an hour ago."""
    with connect_platform(settings, "test") as connection:
        connection.execute(
            "UPDATE engagement_platform.relay_checkpoint_history SET recorded_at = recorded_at - interval '1 hour'"
        )


def test_a_group_that_was_lost_goes_on_where_it_stood(
    to: To, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Its offsets expired, or somebody deleted it: the topic is the same, so nothing is lost or delivered again."""
    ensure_schema(to())
    ids = publish(to(), range(50))
    drain(forward.run, to())
    drop_group(to())
    assert stored(to()) == {}
    ids += publish(to(), range(50, 70))
    drain(forward.run, to())
    assert len(receiver.deliveries) == 70
    assert received(receiver) == set(ids)
    assert "has lost its offsets" in caplog.text


def test_the_topic_of_replays_that_is_deleted_stops_it_too(to: To, receiver: Receiver) -> None:
    ensure_schema(to())
    publish(to(), range(3))
    publish(to(), range(200, 203), to().topics.replays, [("to", b"api")])
    drain(forward.run, to())
    delete(to(), to().topics.replays)
    publish(to(), range(3, 5))
    with pytest.raises(StreamStopped, match="forward restart"):
        drain(forward.run, to())
    restart(to(), "earliest")
    drain(forward.run, to())
    assert received(receiver) == {*range(5), *range(200, 203)}


def test_with_the_database_away_it_goes_on_and_a_start_waits_for_it(
    to: To, receiver: Receiver, stack: Endpoints
) -> None:
    """A start has to learn where it stands and which columns messages have; one that knows them needs it no more."""
    ensure_schema(to())
    publish(to(), range(5))
    with shut(to(), stack), running(forward.run, to()) as control:
        wait_for(lambda: "platform database" in in_words(control.progress.state), "it to wait for the database")
        assert not received(receiver)
    with running(forward.run, to()):
        wait_for(lambda: received(receiver) == set(range(5)), "what waited")
        with shut(to(), stack):
            publish(to(), range(5, 9))
            wait_for(lambda: received(receiver) == set(range(9)), "the events of the outage")
    assert len(receiver.deliveries) == 9


def test_a_first_start_is_one(to: To, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ensure_schema(to())
    publish(to(), range(5))
    drain(forward.run, to())
    assert received(receiver) == set(range(5))
    assert "lost" not in caplog.text
    position = forwarded.read(to(), to().topics.events)
    assert position is not None
    assert sum(position.offsets.values()) == 5


def test_the_time_that_is_kept_is_that_of_the_first_event_that_waits(to: To, receiver: Receiver) -> None:
    """Not the time at which the offsets were stored last, which moves on while the partner is down."""
    ensure_schema(to())
    receiver.down()
    publish(to(), range(5))
    published_at = time.time()
    with running(forward.run, to(api_breaker_failures=1)) as control:
        wait_for(lambda: control.progress.state.kind is Activity.WAITS, "the partner to be down")
        wait_for(lambda: time.time() > published_at + 3, "some seconds")
    position = forwarded.read(to(), to().topics.events)
    assert position is not None
    assert position.settled_to is not None
    assert position.settled_to.timestamp() < published_at + 1
