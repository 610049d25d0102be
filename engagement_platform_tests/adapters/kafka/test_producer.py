"""What a commit promises: every message, or an exception and none of them."""

from collections.abc import Iterator

import pytest

from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Fenced, FencedProducer, Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.conftest import CLIENTS
from engagement_platform_tests.adapters.kafka.transactions import Interrupted, batch, committed, left, values
from engagement_platform_tests.streaming import read_all

pytestmark = pytest.mark.servers


@pytest.fixture
def producer(settings: Settings) -> Iterator[FencedProducer]:
    ensure_topics(settings)
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        yield producer


def test_once_it_returns_every_message_is_committed(producer: FencedProducer, settings: Settings) -> None:
    producer.commit(batch(settings))
    producer.commit(batch(settings))
    assert committed(settings) == values(2 * batch(settings))


@pytest.mark.parametrize("events", [0, 5_000])
def test_a_later_producer_shuts_out_the_earlier(producer: FencedProducer, settings: Settings, events: int) -> None:
    """Whether it learns so while it still sends or when it commits."""
    producer.commit(batch(settings, 1))
    with open_producer(settings, 1_000_000) as later:
        later.fence()
        with pytest.raises(Fenced):
            producer.commit(batch(settings, events))
        later.commit(batch(settings, 1))
    assert len(committed(settings)) == 2 * len(batch(settings, 1))


def test_a_zombie_that_wakes_up_in_its_transaction_writes_nothing(
    producer: FencedProducer, settings: Settings, client: str
) -> None:
    with open_producer(settings, 1_000_000) as later:

        def take_over() -> None:
            later.fence()
            later.commit([Message(settings.topics.checkpoint, b"relay", b"later")])

        with pytest.raises(Fenced):
            producer.commit(Interrupted(batch(settings, 2_000), client, take_over))
        later.commit([Message(settings.topics.checkpoint, b"relay", b"last")])
    assert committed(settings) == [b"last", b"later"]


def test_a_message_that_is_too_large_stops_the_commit(producer: FencedProducer, settings: Settings) -> None:
    large = Message(settings.topics.events, b"key", bytes(1_500_000))
    with pytest.raises(Unavailable, match=r"(?i)size"):
        producer.commit([*batch(settings), large])
    assert left(settings) == []


def test_a_message_that_the_broker_refuses_stops_the_commit(settings: Settings) -> None:
    """Its own limit is lower than the one that the client was told."""
    ensure_topics(settings)
    with open_producer(settings, 4_000_000) as producer:
        producer.fence()
        with pytest.raises(Unavailable, match=r"(?i)size|large"):
            producer.commit([*batch(settings), Message(settings.topics.events, b"key", bytes(2_000_000))])
    assert left(settings) == []


def test_a_commit_of_more_than_the_client_keeps(producer: FencedProducer, settings: Settings) -> None:
    producer.commit(
        [Message(settings.topics.events, b"%d" % (n % 50), b"%d" % n, [("n", b"1")]) for n in range(20_000)]
    )
    records = read_all(settings, settings.topics.events)
    assert sorted(int(record.value) for record in records) == list(range(20_000))
    for partition in {record.partition for record in records}:
        sent = [int(record.value) for record in records if record.partition == partition]
        assert sent == sorted(sent)


def test_the_partition_of_a_key_is_the_same_with_every_client(settings: Settings) -> None:
    ensure_topics(settings)
    keys = [b"", b"\x00", b"k", *(f"content-{n}".encode() * (1 + n % 4) for n in range(60))]
    for name in CLIENTS:
        ours = settings.replace(kafka_client=name)
        messages = [Message(settings.topics.events, key, name.encode()) for key in keys]
        with open_producer(ours, 1_000_000) as producer:
            producer.fence()
            producer.commit(messages)
        send_all(ours.kafka, messages)
    partitions: dict[bytes, set[int]] = {}
    for record in read_all(settings, settings.topics.events):
        partitions.setdefault(record.key, set()).add(record.partition)
    assert {key: len(among) for key, among in partitions.items()} == dict.fromkeys(keys, 1)
    assert len({partition for among in partitions.values() for partition in among}) == settings.topics.partitions
