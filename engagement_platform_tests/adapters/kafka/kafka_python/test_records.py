"""Records are read as kafka-python reads them, from whatever bytes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord, Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError, KafkaError
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c
from kafka.structs import TopicPartition

from engagement_platform.adapters.kafka.kafka_python.records import KafkaPythonRecord, PartitionRecords

TOPIC = TopicPartition("events", 3)
GZIP, CRC_AT, CRC_FROM, ATTRIBUTES_AT = 1, 17, 21, 21

maybe_bytes = st.none() | st.binary(max_size=300)
headers = st.lists(st.tuples(st.text(max_size=5), maybe_bytes), max_size=3)
relayed = st.just([("schema-version", b"1"), ("unseen-at", b"1790000000000000")])
messages = st.lists(
    st.tuples(st.integers(0, 1 << 45), maybe_bytes, maybe_bytes, headers | relayed), min_size=1, max_size=12
)


class Aborted:
    """What a broker tells of a transaction that was aborted."""

    def __init__(self, producer_id: int, first_offset: int) -> None:
        self.producer_id, self.first_offset = producer_id, first_offset


def batch_of(told: Sequence[Any], offset: int, producer: int, compression: int, *, arrival: bool) -> bytes:
    builder = MemoryRecordsBuilder(
        2, compression, 1 << 20, transactional=True, producer_id=producer, producer_epoch=0, base_sequence=0
    )
    for timestamp, key, value, headers in told:
        builder.append(timestamp=timestamp, key=key, value=value, headers=headers)
    builder.close()
    batch = bytearray(builder.buffer())
    batch[0:8] = offset.to_bytes(8, "big")
    if arrival:
        batch[ATTRIBUTES_AT + 1] |= 8
    return with_checksum(batch)


def with_checksum(batch: bytearray) -> bytes:
    batch[CRC_AT:CRC_FROM] = calc_crc32c(memoryview(batch)[CRC_FROM:]).to_bytes(4, "big")
    return bytes(batch)


def read(kind: Callable[..., Any], data: bytes, at: int, aborted: Sequence[Aborted], most: int) -> Any:
    """Return the records, taken some at a time, the offset behind each time, and what went wrong."""
    partition = kind(at, TOPIC, MemoryRecords(data), None, None, True, IsolationLevel.READ_COMMITTED, aborted)
    seen: list[Any] = []
    try:
        while partition:
            taken = partition.take(most)
            seen.append(([told(record) for record in taken], partition.next_fetch_offset, partition.leader_epoch))
    except (KafkaError, ValueError, IndexError) as error:
        seen.append(type(error))
    return seen


def told(record: ConsumerRecord | KafkaPythonRecord) -> tuple[Any, ...]:
    fields = ("topic", "partition", "offset", "timestamp", "timestamp_type", "key", "value")
    return (*(getattr(record, name) for name in fields), list(record.headers))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(messages, st.integers(1, 2), st.sampled_from([0, GZIP]), st.booleans()), max_size=4),
    st.integers(0, 40),
    st.lists(st.builds(Aborted, st.integers(1, 2), st.integers(0, 40)), max_size=2),
    st.integers(1, 7),
)
def test_records_of_any_batches_are_those_of_kafka_python(
    batches: list[Any], at: int, aborted: list[Aborted], most: int
) -> None:
    data, offset = b"", 0
    for told_, producer, compression, arrival in batches:
        data += batch_of(told_, offset, producer, compression, arrival=arrival)
        offset += len(told_) + producer  # some offsets have no record any more
    assert read(PartitionRecords, data, at, aborted, most) == read(Fetcher.PartitionRecords, data, at, aborted, most)


@settings(max_examples=40)
@given(messages, st.data())
def test_what_is_no_record_is_refused_as_kafka_python_refuses_it(told_: list[Any], data: st.DataObject) -> None:
    batch = bytearray(batch_of(told_, 0, 1, 0, arrival=False))
    for _ in range(data.draw(st.integers(1, 3))):
        batch[data.draw(st.integers(61, len(batch) - 1))] = data.draw(st.integers(0, 255))
    spoiled = with_checksum(batch)
    assert read(PartitionRecords, spoiled, 0, (), 5) == read(Fetcher.PartitionRecords, spoiled, 0, (), 5)


def test_another_checksum_is_refused() -> None:
    batch = bytearray(batch_of([(0, b"key", b"value", [])], 0, 1, 0, arrival=True))
    batch[-1] ^= 1
    with pytest.raises(CorruptRecordError, match="another checksum"):
        PartitionRecords(0, TOPIC, MemoryRecords(bytes(batch))).take()
