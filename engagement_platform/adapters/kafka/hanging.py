"""Transactions that hang: Kafka noted that they ended, and lost the marks that tell it to the partitions' readers.

All who read what is committed then stand before them for ever. Kafka's own remedy, `kafka-transactions abort`, writes a
mark of its choice with the rights of a broker. A later transaction of the same transactional id does the same with the
rights that the relay has: its end is that of whatever the id left open in the partitions that belong to it, also where
it writes nothing. See KIP-664 and docs/decisions/0025.

Done with kafka-python, whichever client the settings name: the other one cannot ask for the half of it.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.consumer import TopicChanged, TopicReader
from engagement_platform.adapters.kafka.kafka_python.connection import connect, connect_producer
from engagement_platform.adapters.kafka.kafka_python.errors import unavailable
from engagement_platform.adapters.kafka.kafka_python.private import (
    abort_within,
    add_to_transaction,
    commit_within,
    stop_sending,
)
from engagement_platform.adapters.kafka.kafka_python.producer import translated
from engagement_platform.adapters.kafka.port import OffsetsExpired, Place
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Kafka

_SMALL = 1 << 20
_POLL_MS = 200
_FIRST_LOOK_BACK, _LOOK_BACK = 32, 32 * 8**3
"""How many offsets before the end are looked through first, and at most."""


def find(kafka: Kafka, transactional_id: str, among: Collection[Place]) -> dict[Place, int]:
    """Return where a transaction of the id is open -> the offset of its first message. Raises Unavailable.

    What its producers have under way is found, too, unless they were fenced before.
    """
    try:
        with closing(connect(KafkaAdminClient, kafka, request_timeout_ms=connection.MAX_BLOCK_MS)) as admin:
            producer_id = admin.describe_transactions([transactional_id])[transactional_id].producer_id
            states = admin.describe_producers([TopicPartition(*place) for place in among])
    except KafkaError as error:
        raise unavailable(kafka, error) from error
    return {
        Place(*place): producer.current_transaction_start_offset
        for place, state in states.items()
        for producer in state.active_producers
        if producer.producer_id == producer_id and producer.current_transaction_start_offset >= 0
    }


def written(kafka: Kafka, first_offsets: Mapping[Place, int]) -> dict[Place, list[Record]]:
    """Return the messages of each place from an offset on, committed or not. Raises Unavailable."""
    seconds = connection.MAX_BLOCK_MS / 1000
    consumer = connect(
        KafkaConsumer,
        kafka,
        group_id=None,
        isolation_level="read_uncommitted",
        auto_offset_reset="none",
        enable_auto_commit=False,
        metrics_enabled=False,
    )
    try:
        with closing(consumer):
            partitions = {TopicPartition(*place): offset for place, offset in first_offsets.items()}
            consumer.assign(list(partitions))
            oldest = consumer.beginning_offsets(list(partitions), timeout_ms=connection.MAX_BLOCK_MS)
            ends = consumer.end_offsets(list(partitions), timeout_ms=connection.MAX_BLOCK_MS)
            for partition, offset in partitions.items():
                consumer.seek(partition, max(offset, oldest[partition]))  # the first of them may have expired
            records: dict[Place, list[Record]] = {place: [] for place in first_offsets}
            deadline = time.monotonic() + seconds
            while any(consumer.position(one, timeout_ms=connection.MAX_BLOCK_MS) < end for one, end in ends.items()):
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError("what a transaction left open could not be read to its end")
                for partition, some in consumer.poll(timeout_ms=_POLL_MS).items():
                    records[Place(*partition)] += some
    except KafkaError as error:
        raise unavailable(kafka, error) from error
    return records


def last_committed(
    kafka: Kafka, topic: str, besides: Collection[int], is_meant: Callable[[Record], bool]
) -> list[Record]:
    """Return the last message of a kind in each partition, but for those, as far as it lies near the end.

    Raises Unavailable.
    """
    try:
        with closing(TopicReader(kafka, topic)) as reader:
            begins, ends = reader.beginning_offsets(), reader.end_offsets()
            found = (_last(reader, p, begins[p], ends[p], is_meant) for p in sorted(ends.keys() - set(besides)))
            return [record for record in found if record is not None]
    except (OffsetsExpired, TopicChanged) as error:  # in this moment: at the next look it is as it is
        raise Unavailable(str(error)) from error


def _last(
    reader: TopicReader, partition: int, begin: int, end: int, is_meant: Callable[[Record], bool]
) -> Record | None:
    """Return the last message before an offset. Behind it lie marks, what was aborted, and what is not meant."""
    back, deadline = _FIRST_LOOK_BACK, time.monotonic() + connection.MAX_BLOCK_MS / 1000
    while True:
        start, last = max(begin, end - back), None
        reader.seek({partition: start})
        while reader.positions()[partition] < end:
            if time.monotonic() > deadline:
                raise Unavailable(f"Partition {partition} of the topic {reader.topic} could not be read to its end.")
            polled = reader.poll(_POLL_MS).get(partition, ())
            last = next(filter(is_meant, reversed(polled)), last)
        if last is not None or start == begin or back >= _LOOK_BACK:
            return last
        back *= 8


def end(kafka: Kafka, transactional_id: str, places: Collection[Place], *, committed: bool) -> None:
    """End what the id has left open in these places: it becomes readable, or is dropped for good.

    Fences every producer of the id. Raises Fenced, and Unavailable when the outcome is not known.
    """
    partitions, seconds = [TopicPartition(*place) for place in places], connection.MAX_BLOCK_MS / 1000
    producer = connect_producer(
        kafka, _SMALL, transactional_id=transactional_id, transaction_timeout_ms=kafka.transaction_timeout_ms
    )
    try:
        with translated(kafka, producer, transactional_id):
            producer.init_transactions()
            producer.begin_transaction()
            if not add_to_transaction(producer, partitions, seconds):
                raise KafkaTimeoutError("the partitions were not taken into a transaction in time")
            if not (commit_within if committed else abort_within)(producer, seconds):
                raise KafkaTimeoutError("the end of the transaction was not confirmed in time")
    finally:
        stop_sending(producer)
        producer.close(timeout=1)
