"""What tests of the stream share: write events, run a loop beside the test, read what came out, wait for conditions."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from engagement_platform.adapters.kafka.kafka_python.connection import options
from engagement_platform.adapters.kafka.kafka_python.private import cluster_of, look_up_within
from engagement_platform.adapters.kafka.topics import written_ends
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.lease import LeaseControl, hold_lease
from engagement_platform.stream.registry import LOOPS, NAMES

PATIENCE = 60.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true value of a condition. Fails after `seconds`.

    A condition that is costly to ask, such as all rows of the warehouse, is asked less often: what is waited for needs
    the processor.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        assert now < deadline, f"waited {seconds:.0f} s in vain for: {what}"
        time.sleep(min(max(0.02, 3 * (now - began)), 1.0))


@contextmanager
def lease_run(settings: Settings) -> Iterator[dict[str, LeaseControl]]:
    """Run the four loops of a run in threads, each with its lease and heartbeat, while the block runs."""
    with ExitStack() as stack:
        controls = {
            name: stack.enter_context(hold_lease(settings, run_id="a", loop=name, loops=NAMES, lease_seconds=600))
            for name in NAMES
        }
        threads = [threading.Thread(target=loop.imported().run, args=(settings, controls[loop.name])) for loop in LOOPS]
        for thread in threads:
            thread.start()
        try:
            yield controls
        finally:
            for control in controls.values():
                control.stop.set("The test ends.")
            for thread in threads:
                thread.join(30)


@contextmanager
def running(
    loop: Callable[[Settings, Standalone], None], settings: Settings, control: Standalone | None = None
) -> Iterator[Standalone]:
    """Run a loop in a thread while the block runs. An error of the loop is raised at the end of the block."""
    control = control or Standalone()
    failures: list[BaseException] = []

    def target() -> None:
        try:
            loop(settings, control)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield control
    except AssertionError:
        if failures:
            raise failures[0] from None  # why the test waited in vain
        raise
    finally:
        control.stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the loop did not end"
    if failures:
        raise failures[0]


def drain(loop: Callable[[Settings, Standalone], None], settings: Settings) -> Standalone:
    """Run a loop until it has done what was there."""
    control = Standalone(drain=True)
    loop(settings, control)
    return control


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return all committed records of a topic, by partition and offset. Waits for a broker that is not ready yet.

    It reads up to the end of what is *written*, and waits for transactions that are open. The end of what is committed
    lags: a broker says that a commit is done before it has marked the end of the transaction in each partition.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _read_all(settings, topic)
        except (KafkaError, Unavailable):
            assert time.monotonic() < deadline, "Kafka does not answer"


def _read_all(settings: Settings, topic: str) -> list[Any]:
    consumer = KafkaConsumer(
        **options(settings.kafka), group_id=None, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    try:
        with suppress(UnknownTopicOrPartitionError):
            look_up_within(consumer, topic, 10)
        partitions = [TopicPartition(topic, n) for n in cluster_of(consumer).partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = (
            written_ends(settings.kafka, topic, [partition.partition for partition in partitions]) if partitions else {}
        )
        records: list[Any] = []
        deadline = time.monotonic() + PATIENCE
        while any(consumer.position(TopicPartition(topic, number)) < end for number, end in ends.items()):
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for found in consumer.poll(timeout_ms=200).values():
                records.extend(found)
        return records
    finally:
        consumer.close()


INSERT = (
    "INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload) "
    "SELECT %(content)s::uuid, gen_random_uuid(), 'play', now(), 1000, 'ios', '{}' FROM generate_series(1, %(n)s) "
    "RETURNING id"
)


def insert(connection: psycopg.Connection[Any], n: int = 1, content: str | None = None) -> list[int]:
    """Insert `n` events in the connection's transaction; return their ids."""
    return [row[0] for row in connection.execute(INSERT, {"n": n, "content": content}).fetchall()]
