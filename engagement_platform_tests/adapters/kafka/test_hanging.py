"""Transactions of which Kafka has lost the end: they are found, read and ended, with either client's fence before."""

import pytest

from engagement_platform.adapters.kafka import hanging
from engagement_platform.adapters.kafka.port import Message, Place
from engagement_platform.adapters.kafka.producer import open_producer, transactional_id
from engagement_platform.adapters.kafka.topics import admin, ensure_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.hung import leave_open
from engagement_platform_tests.adapters.kafka.transactions import batch, committed, values


@pytest.fixture(autouse=True)
def _topics(settings: Settings) -> None:
    ensure_topics(settings)


def fence(settings: Settings) -> None:
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()


def left_open(settings: Settings) -> dict[Place, int]:
    topics = settings.topics
    with admin(settings.kafka) as client:
        return client.left_open((topics.events, topics.dead_letters, topics.checkpoint))


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_hangs_is_found_read_and_ended(settings: Settings, is_committed: bool) -> None:
    events, of = settings.topics.events, transactional_id(settings)
    before = batch(settings)
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        producer.commit(before)
    hung = [(0, Message(events, None, b"a")), (0, Message(events, None, b"b")), (2, Message(events, None, b"c"))]
    leave_open(settings.kafka, of, hung)
    fence(settings)
    assert left_open(settings).keys() == {Place(events, 0), Place(events, 2)}
    begins = hanging.find(settings.kafka, of, left_open(settings))
    assert begins.keys() == {Place(events, 0), Place(events, 2)}
    left = hanging.written(settings.kafka, begins)
    assert {place: [one.value for one in records] for place, records in left.items()} == {
        Place(events, 0): [b"a", b"b"],
        Place(events, 2): [b"c"],
    }
    hanging.end(settings.kafka, of, begins, committed=is_committed)
    assert left_open(settings) == {}
    assert committed(settings) == sorted([*values(before), *([b"a", b"b", b"c"] if is_committed else [])])


def test_what_a_predecessor_left_open_in_order_does_not_hang(settings: Settings) -> None:
    topic = settings.topics.events
    leave_open(settings.kafka, "somebody-else", [(1, Message(topic, None, b"not the relay's"))])
    fence(settings)
    assert left_open(settings) == {Place(topic, 1): 0}
    assert hanging.find(settings.kafka, transactional_id(settings), left_open(settings)) == {}
    hanging.end(settings.kafka, "somebody-else", [Place(topic, 1)], committed=False)
    assert left_open(settings) == {}


def test_the_last_message_of_each_partition_is_behind_marks_and_what_was_aborted(settings: Settings) -> None:
    topic, of = settings.topics.events, transactional_id(settings)
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        for n in range(3):
            producer.commit([Message(topic, b"key", b"%d" % n)])
    (kept,) = hanging.last_committed(settings.kafka, topic, (), lambda _: True)
    assert kept.value == b"2"
    leave_open(settings.kafka, of, [(kept.partition, Message(topic, b"key", b"dropped"))] * 40)
    hanging.end(settings.kafka, of, [Place(topic, kept.partition)], committed=False)
    (again,) = hanging.last_committed(settings.kafka, topic, (), lambda _: True)
    assert (again.offset, again.value) == (kept.offset, b"2")
    assert hanging.last_committed(settings.kafka, topic, {kept.partition}, lambda _: True) == []


def test_a_topic_that_is_not_there_is_said(settings: Settings) -> None:
    with admin(settings.kafka) as client, pytest.raises(Unavailable):
        client.left_open(["no-such-topic"])
