"""A relay whose transaction Kafka decided and did not end everywhere goes on, and every event is published once."""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import pytest

from engagement_platform.adapters.kafka import hanging
from engagement_platform.adapters.kafka.checkpoints import key
from engagement_platform.adapters.kafka.find import partition_of
from engagement_platform.adapters.kafka.kafka_python.producer import KafkaPythonFencedProducer
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.port import Message, Place
from engagement_platform.adapters.kafka.producer import transactional_id
from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.adapters.platform import mirror
from engagement_platform.domain.checkpoint import Checkpoint, to_bytes
from engagement_platform.domain.dead_letters import DeadLetter, encode_dead_letter
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.loop_state import Activity
from engagement_platform.recovery.relay import reset
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.adapters.kafka.hung import leave_open
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.test_loop import last_checkpoint
from engagement_platform_tests.streaming import drain, insert, read_all, running, wait_for

Ends = Callable[[Settings, Collection[Place]], Collection[Place]]
"""Where a transaction of some places gets its end."""

ENDS: dict[str, Ends] = {
    "nowhere": lambda settings, places: (),
    "of the checkpoint": lambda settings, places: [Place(settings.topics.checkpoint, 0)],
    "of one partition": lambda settings, places: [min(p for p in places if p.topic == settings.topics.events)],
    "of the dead letters": lambda settings, places: [p for p in places if p.topic == settings.topics.dead_letters],
    "of all but one partition": lambda settings, places: (
        set(places) - {min(p for p in places if p.topic == settings.topics.events)}
    ),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.replace(kafka_client="kafka-python")


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def placed(settings: Settings, messages: Sequence[Message]) -> list[tuple[int, Message]]:
    """Return messages with the partitions that the relay's producer gives them."""
    with admin(settings.kafka) as client:
        partitions = len(client.written_ends(settings.topics.events, range(4)))
    of_events = settings.topics.events
    return [(partition_of(m.key or b"", partitions) if m.topic == of_events else 0, m) for m in messages]


def hang_once(monkeypatch: pytest.MonkeyPatch, settings: Settings, ends: Ends, *, is_told: bool) -> None:
    """Have Kafka lose the end of the next transaction with events in all places but some."""
    commit = KafkaPythonFencedProducer.commit
    hung: list[int] = []

    def commit_and_hang(producer: KafkaPythonFencedProducer, messages: Sequence[Message]) -> None:
        if hung or len(messages) == 1:
            commit(producer, messages)
            return
        with_places = placed(settings, messages)
        hung.append(len(messages))
        places = {Place(message.topic, partition) for partition, message in with_places}
        leave_open(settings.kafka, transactional_id(settings), with_places, ends(settings, places))
        if not is_told:
            raise Unavailable("Kafka was killed.")

    monkeypatch.setattr(KafkaPythonFencedProducer, "commit", commit_and_hang)


def write(writer: psycopg.Connection[Any]) -> None:
    """Write events of each partition, and one that is a dead letter, in one transaction."""
    with writer.transaction():
        insert(writer, 30)
        writer.execute("INSERT INTO engagement_events (event_type, event_ts) VALUES ('play', 'infinity'::timestamptz)")


def in_kafka(settings: Settings) -> list[int]:
    events = [json.loads(record.value)["id"] for record in read_all(settings, settings.topics.events)]
    return sorted(events + [int(record.key) for record in read_all(settings, settings.topics.dead_letters)])


def committed(writer: psycopg.Connection[Any]) -> list[int]:
    return [row[0] for row in writer.execute("SELECT id FROM engagement_events ORDER BY id")]


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("where", ENDS)
def test_every_event_is_published_once_whatever_lost_its_end(
    settings: Settings,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    is_told: bool,
) -> None:
    write(writer)
    drain(relay.run, settings)
    hang_once(monkeypatch, settings, ENDS[where], is_told=is_told)
    with caplog.at_level(logging.WARNING, "engagement_platform.relay"), running(relay.run, settings) as control:
        write(writer)
        if is_told:
            wait_for(lambda: control.progress.events == 31, "the confirmed commit")
            write(writer)  # finds that the producer is fenced, as that of a broker that was killed is of no more use
        wait_for(lambda: "past which nobody could read" in caplog.text, "the end")
        write(writer)
        wait_for(lambda: in_kafka(settings) == committed(writer), "every event, once")
    assert ("it is committed now" in caplog.text) is (is_told or where != "nowhere")
    assert ("it is aborted now" in caplog.text) is (not is_told and where == "nowhere")


def test_what_was_told_is_waited_for_while_the_mirror_is_away(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(writer)
    drain(relay.run, settings)
    is_away, read = threading.Event(), mirror.read

    def read_unless_away(settings: Settings) -> Checkpoint | None:
        if is_away.is_set():
            raise Unavailable("The platform's database is away.")
        return read(settings)

    monkeypatch.setattr(mirror, "read", read_unless_away)
    hang_once(monkeypatch, settings, ENDS["nowhere"], is_told=True)
    with running(relay.run, settings) as control:
        write(writer)
        wait_for(lambda: control.progress.events == 31, "the confirmed commit")
        is_away.set()
        write(writer)
        wait_for(lambda: "database is away" in control.progress.state.reason, "the relay to wait")
        with admin(settings.kafka) as client:
            assert client.left_open([settings.topics.checkpoint])
        is_away.clear()
        wait_for(lambda: in_kafka(settings) == committed(writer), "every event, once")


def hang_with_the_checkpoint(settings: Settings, changes: dict[str, Any], *others: tuple[int, Message]) -> None:
    """Leave the last checkpoint open once more, changed, with other messages."""
    value = to_bytes(msgspec.structs.replace(last_checkpoint(settings), **changes))
    own = Message(settings.topics.checkpoint, key(settings), value)
    leave_open(settings.kafka, transactional_id(settings), [(0, own), *others])


def event(settings: Settings, number: int) -> Message:
    return Message(settings.topics.events, None, json.dumps({"id": number}).encode())


def test_letters_of_others_say_nothing(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    """Another loop gives up an event that was published before, behind a letter of the relay that hangs."""
    write(writer)
    drain(relay.run, settings)
    topic, now = settings.topics.dead_letters, datetime.now(UTC)
    letters = [
        encode_dead_letter(DeadLetter(source=source, event_id=number, reason="bad", excerpt="", at=now))
        for source, number in (("relay", 1_000), ("tally", 1))
    ]
    leave_open(settings.kafka, transactional_id(settings), [(0, Message(topic, b"1000", letters[0]))])
    send_all(settings.kafka, [Message(topic, b"1", letters[1])])
    drain(relay.run, settings)
    assert in_kafka(settings) == sorted([*committed(writer), 1])


def test_an_event_of_before_is_no_evidence(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    """A relay that was set back covers with its next checkpoint what an earlier one has published."""
    write(writer)
    drain(relay.run, settings)
    reset(settings, "10")
    hang_with_the_checkpoint(settings, {"hi": 31, "unseen_at": time.time_ns() // 1000}, (0, event(settings, 12)))
    drain(relay.run, settings)
    twice = [number for number in committed(writer) if number > 10]
    assert in_kafka(settings) == sorted([*committed(writer), *twice]), "what was set back comes again, and all of it"


@pytest.mark.parametrize("hides", [True, False])
def test_another_programs_transaction_is_waited_for_where_it_hides_evidence(
    settings: Settings, writer: psycopg.Connection[Any], hides: bool
) -> None:
    write(writer)
    drain(relay.run, settings)
    topic, lost = settings.topics.events, (0, event(settings, 1_000))
    leave_open(settings.kafka, "somebody-else", [(3, Message(topic, None, b"{}"))])
    if hides:
        hang_with_the_checkpoint(settings, {"hi": 1_000, "unseen_at": time.time_ns() // 1000}, lost)
    else:
        leave_open(settings.kafka, transactional_id(settings), [lost])
    with running(relay.run, settings) as control, admin(settings.kafka) as client:
        if hides:
            wait_for(lambda: "another program" in control.progress.state.reason, "the relay to wait")
            assert client.left_open([topic]).keys() == {Place(topic, 0), Place(topic, 3)}
        else:
            wait_for(lambda: client.left_open([topic]).keys() == {Place(topic, 3)}, "the relay to end its own")
        hanging.end(settings.kafka, "somebody-else", [Place(topic, 3)], committed=False)
        wait_for(lambda: control.progress.state.kind is Activity.STREAMS, "the relay to go on")
    assert in_kafka(settings) == committed(writer)


def test_a_relay_that_goes_on_notices_what_hangs(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    """Its connections outlive a broker that is killed and is soon back, and nothing new comes from the source."""
    quick = settings.replace(transaction_timeout_ms=1_000)
    topic = settings.topics.events
    with running(relay.run, quick) as control:
        write(writer)
        wait_for(lambda: control.progress.events == 31, "the first events")
        leave_open(settings.kafka, transactional_id(settings), [(0, event(settings, 1_000))])
        with admin(settings.kafka) as client:
            assert client.left_open([topic]).keys() == {Place(topic, 0)}
            wait_for(lambda: not client.left_open([topic]), "the relay to end it")
    assert in_kafka(settings) == committed(writer)


def test_two_transactions_that_want_different_ends_stop_the_relay_until_it_is_reset(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer)
    drain(relay.run, settings)
    published, topic = committed(writer)[-1], settings.topics.events
    write(writer)
    yet_to_be = committed(writer)[-2]
    hang_with_the_checkpoint(settings, {}, *((0, event(settings, number)) for number in (published, yet_to_be)))
    with pytest.raises(StreamStopped, match=f"Partition 0 of Kafka's topic {topic} holds events of two transactions"):
        drain(relay.run, settings)
    reset(settings, "latest")
    drain(relay.run, settings)
    with admin(settings.kafka) as client:
        assert not client.left_open([topic, settings.topics.checkpoint])
