"""Finding one message: by its time, by its key, within bounds, and what is said where it is not found."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engagement_platform.adapters.kafka import find
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.find import Bounds, Wanted, partition_of
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.records import IdReader
from engagement_platform.domain.trace.facts import InKafka
from engagement_platform.settings import Settings
from engagement_platform_tests.kafka_admin import admin

ID_OF = IdReader("id").id_of
KEY = b"content"

Look = Callable[..., InKafka]


@pytest.fixture
def look(settings: Settings) -> Look:
    ensure_topics(settings)

    def look(event_id: int, bounds: Bounds | None = None, **wanted: Any) -> InKafka:
        made = Wanted(event_id, ID_OF, **wanted)
        return find.find(settings.kafka, settings.topics.events, made, bounds).in_kafka

    return look


def publish(settings: Settings, ids: range | list[int], key: bytes | None = KEY) -> None:
    topic = settings.topics.events
    headers = (("unseen-at", b"1767225600000000"), ("schema-version", b"3"))
    send_all(settings.kafka, (Message(topic, key, b'{"id":%d,"x":1234}' % number, headers) for number in ids))


def test_a_message_is_found_with_what_its_headers_say(settings: Settings, look: Look) -> None:
    publish(settings, range(10))
    message = look(4, key=KEY).message
    assert message is not None
    assert (message.offset, message.schema, message.value) == (4, 3, b'{"id":4,"x":1234}')
    assert message.partition == partition_of(KEY, settings.topics.partitions)
    assert message.unseen_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert abs(message.arrived - datetime.now(UTC)) < timedelta(minutes=1)
    assert look(123, key=KEY).message is None, "part of another number's digits"


def test_the_partition_of_a_key_is_read_first_and_the_others_too(settings: Settings, look: Look) -> None:
    publish(settings, range(1_000))
    others = [key for key in (b"a", b"b", b"c", b"d", b"e", b"f") if partition_of(key, 4) != partition_of(KEY, 4)]
    publish(settings, [5_000], others[0])
    assert look(5_000, key=others[0]).looked_at == 1
    assert look(5_000, key=KEY).message is not None, "where there were fewer partitions once"
    assert look(5_000).message is not None


def test_only_the_time_of_its_publication_is_looked_through(settings: Settings, look: Look) -> None:
    publish(settings, range(100))
    since = datetime.now(UTC) + timedelta(minutes=2)
    found = look(50, since=since)
    assert (found.message, found.looked_at, found.is_complete, found.is_expired) == (None, 0, True, False)
    found = look(50, until=datetime.now(UTC) - timedelta(minutes=2))
    assert (found.message, found.looked_at) == (None, 0)
    assert look(50, since=datetime.now(UTC) - timedelta(minutes=1), until=since).message is not None


def test_what_clocks_that_differ_have_put_beside_that_time_is_found_and_not_missing(
    settings: Settings, look: Look
) -> None:
    publish(settings, range(100))
    apart = timedelta(seconds=20)
    found = look(50, since=datetime.now(UTC) + apart, until=datetime.now(UTC) + 2 * apart)
    assert found.message is not None
    found = look(50, since=datetime.now(UTC) - 2 * apart, until=datetime.now(UTC) - apart)
    assert found.message is not None
    found = look(123, since=datetime.now(UTC) + apart, until=datetime.now(UTC) + 2 * apart)
    assert (found.message, found.looked_at, found.is_complete) == (None, 100, True)
    found = look(50, Bounds(bytes=1), since=datetime.now(UTC) + apart)
    assert (found.message, found.is_complete) == (None, False), "not all was looked at where it could be"


def test_in_many_messages_its_place_is_narrowed_down(
    settings: Settings, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_NEAR", 50)
    publish(settings, [*range(0, 10_000, 2), 3, *range(10_000, 20_000, 2)])
    found = look(7_654, key=KEY)
    assert found.message is not None
    assert found.message.offset == 3_827
    assert found.looked_at < 200
    late = look(3, key=KEY)
    assert late.message is not None, "committed late, so that it lies far from its turn"
    assert late.message.offset == 5_000
    assert look(7_655, key=KEY).message is None


@pytest.mark.parametrize("bounds", [Bounds(bytes=1_000), Bounds(seconds=0.0)])
def test_beyond_its_bounds_it_gives_up_and_says_so(settings: Settings, look: Look, bounds: Bounds) -> None:
    publish(settings, range(5_000))
    found = look(4_999, bounds, key=KEY)
    assert (found.message, found.is_complete) == (None, False)
    assert found.looked_at < 2_000


def test_what_the_topic_keeps_no_more_is_expired_and_not_missing(settings: Settings, look: Look) -> None:
    publish(settings, range(10))
    before = datetime.now(UTC) - timedelta(minutes=1)
    partition, topic = partition_of(KEY, 4), settings.topics.events
    with admin(settings.kafka) as client:
        from kafka import TopicPartition

        client.delete_records({TopicPartition(topic, partition): 6})
    with closing(TopicReader(settings.kafka, topic)) as reader:
        assert reader.beginning_offsets()[partition] == 6
    found = look(3, key=KEY, since=before)
    assert (found.message, found.is_expired, found.is_complete) == (None, True, True)
    assert found.oldest is not None
    assert look(8, key=KEY, since=before).message is not None
    with admin(settings.kafka) as client:
        client.delete_records({TopicPartition(topic, partition): 10})
    assert look(3, key=KEY).is_expired
