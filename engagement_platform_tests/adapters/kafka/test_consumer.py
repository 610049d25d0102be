"""The reader against a real Kafka."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from engagement_platform.adapters.kafka import connection, consumer
from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged, TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.kafka.topics import topic_id
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.conftest import CLIENTS
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually, put

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "REFRESH_MS", 200)


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    topic = Topic(settings)
    yield topic
    topic.close()


@pytest.fixture
def reader(settings: Settings, topic: Topic) -> Iterator[TopicReader]:
    reader = TopicReader(settings.kafka, settings.topics.events)
    yield reader
    reader.close()


def read(reader: TopicReader, wanted: int) -> list[tuple[int, int]]:
    """Poll until so many messages have come; return their (partition, offset)."""
    found: list[tuple[int, int]] = []

    def enough() -> bool:
        found.extend((p, m.offset) for p, messages in reader.poll(50).items() for m in messages)
        return len(found) >= wanted

    eventually(enough)
    return found


def test_it_reads_from_where_it_is_told_each_message_once(reader: TopicReader, topic: Topic) -> None:
    topic.send((event(n) for n in range(10)), partition=0)
    topic.send((event(n) for n in range(3)), partition=1)
    reader.seek({0: 4, 1: 0})
    assert sorted(read(reader, 9)) == [(0, n) for n in range(4, 10)] + [(1, n) for n in range(3)]
    reader.seek({0: 8, 1: 3})
    assert read(reader, 2) == [(0, 8), (0, 9)]


def test_positions_pass_the_markers_up_to_the_end_offsets(reader: TopicReader, topic: Topic) -> None:
    """Else a tally that drains would wait for ever."""
    topic.send([event()], partition=0)
    reader.seek({0: 0, 1: 0})
    read(reader, 1)
    assert reader.end_offsets() == {0: 2, 1: 0}
    eventually(lambda: reader.poll(20) == {} and reader.positions() == {0: 2, 1: 0})
    assert reader.waiting() == 0


def test_seeks_amid_messages_lead_where_they_were_aimed(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched ahead for the place before is not taken for what was asked for."""
    monkeypatch.setattr(consumer, "REFRESH_MS", 2_000)
    reader = TopicReader(settings.kafka, settings.topics.events, max_wait_ms=20)
    topic.send((event(n) for n in range(3_000)), partition=0)
    draw = random.Random(7)
    for _ in range(20):
        at = draw.randrange(2_900)
        reader.seek({0: at, 1: 0})
        assert reader.positions() == {0: at, 1: 0}
        assert [offset for _, offset in read(reader, 40)][:40] == list(range(at, at + 40))
        reader.poll(0)
    reader.close()


def test_nothing_is_lost_or_doubled_while_transactions_come_and_are_aborted(reader: TopicReader, topic: Topic) -> None:
    reader.seek({0: 0, 1: 0})
    polled: list[int] = []

    def poll() -> bool:
        polled.extend(record.offset for record in reader.poll(20).get(0, ()))
        return reader.positions()[0] >= 12 * 21

    for number in range(12):
        with suppress(ZeroDivisionError), topic.transaction() as producer:
            for n in range(20):
                put(producer, topic.name, event(n), 0)
            if number % 3 == 0:
                producer.flush()
                raise ZeroDivisionError
        poll()
    eventually(poll)
    assert reader.positions()[0] == reader.end_offsets()[0] == 12 * 21
    assert polled == [21 * number + n for number in range(12) if number % 3 for n in range(20)]


def test_a_poll_takes_no_more_than_is_asked_for(reader: TopicReader, topic: Topic) -> None:
    """What was fetched beside it comes with the next poll."""
    topic.send((event(n) for n in range(30)), partition=0)
    topic.send((event(n) for n in range(30)), partition=1)
    reader.seek({0: 0, 1: 0})
    polled: dict[int, list[int]] = {0: [], 1: []}

    def poll() -> bool:
        records = reader.poll(20, 7)
        assert sum(map(len, records.values())) <= 7
        for partition, some in records.items():
            polled[partition] += [record.offset for record in some]
            assert reader.positions()[partition] >= some[-1].offset + 1
        return sum(map(len, polled.values())) >= 60

    eventually(poll)
    assert {partition: len(offsets) for partition, offsets in polled.items()} == {0: 30, 1: 30}
    assert all(offsets == sorted(set(offsets)) for offsets in polled.values())


def test_the_end_is_known_only_from_answers(reader: TopicReader, topic: Topic) -> None:
    topic.send([event()], partition=0)
    reader.seek({0: 0, 1: 0})
    assert not reader.is_at_end()
    read(reader, 1)
    eventually(lambda: reader.poll(20) == {} and reader.is_at_end())
    topic.send((event(n) for n in range(5)), partition=0)
    reader.seek({0: 2, 1: 0})
    assert len(read(reader, 5)) == 5


def test_a_record_is_the_same_with_every_client(settings: Settings, topic: Topic) -> None:
    topic.send([event(1), event(2)], partition=0)
    topic.send_raw(None, partition=0)
    ours, theirs = (records_of(settings.replace(kafka_client=name), 3) for name in CLIENTS)
    for name in (name for name in vars(Record) if not name.startswith("_")):
        assert [_plain(getattr(one, name)) for one in ours] == [_plain(getattr(one, name)) for one in theirs], name
    assert [record.timestamp_type for record in ours] == [1, 1, 1]
    assert ours[2].value is None


def records_of(settings: Settings, count: int) -> list[Record]:
    reader = TopicReader(settings.kafka, settings.topics.events)
    assert reader.topic_id == topic_id(settings.kafka, settings.topics.events)
    reader.seek({0: 0})
    records: list[Record] = []

    def enough() -> bool:
        records.extend(reader.poll(50).get(0, ()))
        return len(records) >= count

    eventually(enough)
    reader.close()
    return records


def _plain(value: object) -> object:
    return [tuple(header) for header in value] if isinstance(value, list | tuple) else value


def test_who_was_busy_for_long_still_knows_the_topic(reader: TopicReader, topic: Topic) -> None:
    """Loads take longer than three looks at the topic: that is no outage of Kafka."""
    busy_to = time.monotonic() + 4 * consumer.REFRESH_MS / 1000
    eventually(lambda: time.monotonic() > busy_to)
    assert reader.partitions == {0, 1}


def test_open_and_aborted_transactions_are_not_seen(reader: TopicReader, topic: Topic) -> None:
    reader.seek({0: 0, 1: 0})
    with suppress(ZeroDivisionError), topic.transaction() as producer:
        put(producer, topic.name, event(), 0)
        producer.flush()
        assert reader.poll(300) == {}
        assert reader.end_offsets() == {0: 0, 1: 0}
        raise ZeroDivisionError
    topic.send([event()], partition=0)
    assert read(reader, 1) == [(0, 2)]


def test_a_new_partition_is_noticed(reader: TopicReader, topic: Topic) -> None:
    assert reader.partitions == {0, 1}
    topic.widen(3)
    eventually(lambda: reader.partitions == {0, 1, 2})
    assert reader.end_offsets() == {0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize("offset", [0, 99])
def test_an_offset_that_is_not_there_is_an_error_and_no_jump(reader: TopicReader, topic: Topic, offset: int) -> None:
    topic.send((event(n) for n in range(5)), partition=0)
    topic.cut({0: 3})
    reader.seek({0: offset, 1: 0})
    with pytest.raises(OffsetsExpired):
        read(reader, 1)
    assert reader.beginning_offsets() == {0: 3, 1: 0}


def test_a_topic_that_is_missing_is_waited_for_and_not_created(settings: Settings) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match=settings.topics.events):
            TopicReader(settings.kafka, settings.topics.events)
    with pytest.raises(Unavailable, match=settings.topics.events):
        topic_id(settings.kafka, settings.topics.events)


def test_a_recreated_topic_is_not_read(reader: TopicReader, topic: Topic, settings: Settings) -> None:
    before = topic_id(settings.kafka, settings.topics.events)
    assert reader.topic_id == before
    topic.send([event()], partition=0)
    reader.seek({0: 0, 1: 0})
    read(reader, 1)
    reader.verify()
    topic.recreate()
    topic.send([event()], partition=0)
    with pytest.raises(TopicChanged, match=before):
        reader.verify()
    assert topic_id(settings.kafka, settings.topics.events) != before

    def refused() -> bool:
        try:
            reader.poll(50)
        except (TopicChanged, OffsetsExpired, Unavailable) as error:
            return isinstance(error, TopicChanged)
        return False

    eventually(refused)


def test_offsets_by_time_of_arrival(reader: TopicReader, topic: Topic) -> None:
    topic.send([event()], partition=0)
    between = _a_moment_later()
    topic.send([event()], partition=0)
    assert reader.offsets_at(0) == {0: 0, 1: 0}
    assert reader.offsets_at(between)[0] in (1, 2)  # behind the first message, on its marker or behind it
    assert reader.offsets_at(_a_moment_later() + 60_000) == reader.end_offsets() == {0: 4, 1: 0}


def test_kafka_that_never_answered_is_unavailable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BOOTSTRAP_MS", 500)
    nowhere = settings.replace(kafka_bootstrap_servers="127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        TopicReader(nowhere.kafka, nowhere.topics.events)


def _a_moment_later() -> int:
    """Return a time in ms that lies behind everything that arrived before."""
    start = time.time_ns() // 1_000_000
    eventually(lambda: time.time_ns() // 1_000_000 > start + 1)
    return start + 1


def source(written: int) -> tuple[str, bytes]:
    told = {"name": "outbox", "db": "media", "txId": written, "ts_us": 7, "sequence": f'["{written - 1}", "{written}"]'}
    return "source", json.dumps(told).encode()


def test_what_comes_again_is_left_out_where_a_reader_is_to_and_passed_over(settings: Settings, topic: Topic) -> None:
    with topic.transaction() as producer:
        for written in (1, 2, 3, 2, 3, 4):
            producer.send(topic.name, b"{}", headers=[source(written)], partition=0)
    every = TopicReader(settings.kafka, settings.topics.events)
    reader = TopicReader(settings.kafka, settings.topics.events, without_duplicates=True)
    with closing(every), closing(reader):
        every.seek({0: 0})
        assert read(every, 6) == [(0, offset) for offset in range(6)]
        assert (every.duplicates(), every.wal_positions) == (0, {})
        reader.seek({0: 0})
        assert read(reader, 4) == [(0, 0), (0, 1), (0, 2), (0, 5)]
        eventually(lambda: reader.poll(50) == {} and reader.is_at_end())
        assert (reader.duplicates(), reader.duplicates()) == (2, 0)
        positions = reader.wal_positions
        assert positions[0].lsn == 4
        reader.seek({0: 2}, {0: positions[0]._replace(xid=3, previous_commit=2, lsn=3)})
        assert read(reader, 1) == [(0, 5)]
        reader.seek({0: 3})
        assert read(reader, 3) == [(0, 3), (0, 4), (0, 5)], "before it there was nothing that it knows of"
