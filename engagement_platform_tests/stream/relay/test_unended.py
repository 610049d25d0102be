"""A relay whose transaction Kafka decided and did not end everywhere goes on, and every event is published once."""

import json
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import psycopg
import pytest

from engagement_platform.adapters.kafka.find import partition_of
from engagement_platform.adapters.kafka.kafka_python.producer import KafkaPythonFencedProducer
from engagement_platform.adapters.kafka.port import Message, Place
from engagement_platform.adapters.kafka.producer import transactional_id
from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.adapters.platform import mirror
from engagement_platform.domain.checkpoint import Checkpoint
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.adapters.kafka.hung import leave_open
from engagement_platform_tests.conftest import SourceDatabase
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
    stays = is_told or where != "nowhere"
    assert ("aborted in 0; nothing is lost" in caplog.text) is stays


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


def test_two_transactions_that_want_different_ends_stop_the_relay(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer)
    drain(relay.run, settings)
    published, unpublished = (json.dumps({"id": number}).encode() for number in (committed(writer)[-1], 10_000))
    topic = settings.topics.events
    hung = [(0, Message(topic, None, published)), (0, Message(topic, None, unpublished))]
    leave_open(settings.kafka, transactional_id(settings), hung)
    with pytest.raises(StreamStopped, match=f"Partition 0 of Kafka's topic {topic} holds events of two transactions"):
        drain(relay.run, settings)
