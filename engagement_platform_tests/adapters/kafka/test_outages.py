"""A broker that freezes, and one that creates topics by itself."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from engagement_platform.adapters.kafka import connection, consumer
from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics, shown_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.local import kafka as local_kafka
from engagement_platform.local.server import Server
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests import daemons
from engagement_platform_tests.adapters.kafka.conftest import CLIENTS
from engagement_platform_tests.adapters.kafka.topic import eventually
from engagement_platform_tests.adapters.kafka.transactions import Interrupted, batch, committed, left, values
from engagement_platform_tests.adapters.test_keepalive import sockets_to
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.streaming import read_all

pytestmark = pytest.mark.slow


@pytest.fixture
def own_settings(own_stack: Endpoints, client: str) -> Settings:
    """Only Kafka is asked."""
    return make_settings(
        own_stack, own_stack.source_dsn, own_stack.platform_dsn, transaction_timeout_ms=2_000, kafka_client=client
    )


def threads() -> set[str]:
    """Return the threads of this process, those of libraries, too."""
    return {thread.name for thread in Path("/proc/self/task").iterdir()}


def test_a_commit_that_freezes_ends_in_time_and_leaves_no_thread(
    own_stack_folder: Path, own_settings: Settings
) -> None:
    kafka = daemons.server(own_stack_folder, "kafka")
    ensure_topics(own_settings)
    before = threads()
    for n in range(3):
        with open_producer(own_settings, 1_000_000) as producer:
            producer.fence()
            producer.commit([Message(own_settings.topics.events, None, b"%d" % n)])
            daemons.pause(kafka.daemon)
            try:
                with pytest.raises(Unavailable, match="does not answer"):
                    producer.commit([Message(own_settings.topics.events, None, b"frozen")])
            finally:
                daemons.resume(kafka.daemon)
    eventually(lambda: threads() <= before)
    assert {b"0", b"1", b"2"} <= {record.value for record in read_all(own_settings, own_settings.topics.events)}


def freeze(kafka: Server) -> None:
    """Let the broker stand still for a while: it may go on before the transaction is over, or not."""
    daemons.pause(kafka.daemon)
    threading.Timer(1.0, daemons.resume, [kafka.daemon]).start()


def restart(kafka: Server) -> None:
    daemons.kill(kafka.daemon)
    kafka.start()


def cut(kafka: Server) -> None:
    """End the connections of this process to the broker."""
    assert isinstance(kafka, local_kafka.Kafka)
    for each in sockets_to(int(kafka.bootstrap_servers.rpartition(":")[2])):
        each.shutdown(socket.SHUT_RDWR)


def leave(kafka: Server) -> None:
    """Do nothing."""


@pytest.mark.parametrize("happen", [freeze, restart, cut])
def test_a_broker_that_fails_amid_a_transaction_has_all_of_it_or_none(
    own_stack_folder: Path, own_settings: Settings, client: str, happen: Callable[[Server], None]
) -> None:
    kafka = daemons.server(own_stack_folder, "kafka")
    ensure_topics(own_settings)
    messages = batch(own_settings, 2_000)
    is_committed = False
    with open_producer(own_settings, 1_000_000) as producer:
        producer.fence()
        try:
            producer.commit(Interrupted(messages, client, lambda: happen(kafka)))
            is_committed = True
        except Unavailable:
            pass
    daemons.resume(kafka.daemon)
    kafka.start()
    there = left(own_settings)
    assert there == values(messages) if is_committed else there in ([], values(messages))
    with open_producer(own_settings, 1_000_000) as successor:
        successor.fence()
        successor.commit(batch(own_settings))
    assert committed(own_settings) == sorted([*there, *values(batch(own_settings))])


def test_a_reader_outlasts_a_broker_that_restarts_and_connections_that_are_cut(
    own_stack_folder: Path, own_settings: Settings
) -> None:
    kafka = daemons.server(own_stack_folder, "kafka")
    ensure_topics(own_settings)
    reader = TopicReader(own_settings.kafka, own_settings.topics.checkpoint)
    reader.seek({0: 0})
    polled: list[bytes | None] = []

    def has(values: list[bytes]) -> bool:
        with suppress(Unavailable):
            polled.extend(record.value for record in reader.poll(50).get(0, ()))
        return polled == values

    said: list[bytes] = []
    for happen in (leave, cut, restart):
        happen(kafka)
        said.append(happen.__name__.encode())
        send_all(own_settings.kafka, [Message(own_settings.topics.checkpoint, b"key", said[-1])])
        eventually(lambda: has(said))
    reader.close()


def test_a_broker_that_freezes_is_seen_by_who_reads(
    own_stack_folder: Path, own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "REFRESH_MS", 300)
    kafka = daemons.server(own_stack_folder, "kafka")
    ensure_topics(own_settings)
    reader = TopicReader(own_settings.kafka, own_settings.topics.checkpoint)
    reader.seek({0: 0})

    def answers() -> bool:
        try:
            reader.poll(20)
        except Unavailable:
            return False
        return True

    daemons.pause(kafka.daemon)
    try:
        eventually(lambda: not answers())
    finally:
        daemons.resume(kafka.daemon)
    eventually(answers)
    reader.close()


def test_a_broker_that_creates_topics_is_not_asked_to(
    own_stack_folder: Path, own_stack: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would have the broker's settings: a checkpoint topic that forgets, offsets without the time of arrival."""
    properties = local_kafka._PROPERTIES.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
    monkeypatch.setattr(local_kafka, "_PROPERTIES", properties)
    monkeypatch.setattr(connection, "MAX_BLOCK_MS", 1_000)
    kafka = daemons.server(own_stack_folder, "kafka")
    restart(kafka)
    for client in CLIENTS:
        settings = make_settings(own_stack, own_stack.source_dsn, own_stack.platform_dsn, kafka_client=client)
        with pytest.raises(Unavailable), open_checkpoints(settings):
            pass
        with pytest.raises(Unavailable), open_producer(settings, 1_000_000):
            pass
        with pytest.raises(Unavailable):
            TopicReader(settings.kafka, settings.topics.events)
        with pytest.raises(Unavailable):
            send_all(settings.kafka, [Message(settings.topics.dead_letters, None, b"x")])
        topics = {settings.topics.events, settings.topics.checkpoint, settings.topics.dead_letters}
        assert not shown_topics(settings.kafka, *topics)
    monkeypatch.undo()
    restart(kafka)  # the next test's creates none
