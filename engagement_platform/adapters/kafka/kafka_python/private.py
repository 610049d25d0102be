"""What the platform takes from inside kafka-python: names that its documentation does not offer.

Only this file and `records` touch them, and a new version may move any: a test names those that are gone. What the
public interface lacks is said at each function.
"""

import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.net.compat import KafkaNetClient

_LOOK_SECONDS = 0.005


class Cluster(Protocol):
    """What a client knows of topics. `KafkaConsumer` tells no topic's identity, and nobody of a change."""

    def topic_id(self, topic: str) -> object:
        """Return the UUID of a topic; None for one that the client has not looked up."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the partitions of a topic; None for one that the client has not looked up."""

    def add_listener(self, listener: Callable[[Any], None]) -> None:
        """Have a function called with the cluster whenever topics were looked up."""


def make_network(configs: dict[str, Any]) -> Any:
    """Return what a client reaches Kafka by. Clients take one as `kafka_client`, which is public; to make one is not.

    Whoever makes it closes it, with all sockets and the thread, where the client's constructor raises.
    """
    return KafkaNetClient(**configs)


def look_up_only(network: Any) -> None:
    """Let a client's look-ups create no topic, and follow each other after 20 ms instead of 100.

    Options of the clients, which do not pass them on to where they are read. The pause is most of what opening a client
    takes.
    """
    network.cluster.config |= {"allow_auto_create_topics": False, "retry_backoff_ms": 20}


def note_failures(network: Any, note: Callable[[BaseException], Any]) -> None:
    """Have `note` called with what ended each attempt to connect: the client tells only that it gave up."""
    manager = network._manager
    connect = manager._connect

    async def connect_and_note(node: Any, connection: Any, *args: Any, **kwargs: Any) -> None:
        authenticate = connection._sasl_authenticate

        async def authenticate_and_note(*args: Any, **kwargs: Any) -> None:
            try:
                await authenticate(*args, **kwargs)
            except Exception as error:
                note(_during_login(error))
                raise

        connection._sasl_authenticate = authenticate_and_note
        await connect(node, connection, *args, **kwargs)
        if connection.init_future.failed():
            note(connection.init_future.exception)

    manager._connect = connect_and_note


def _during_login(error: Exception) -> Exception:
    """Return the refusal for which a broker ended the connection: the client often tells only that it was ended."""
    ended: Exception = errors.SaslAuthenticationFailedError("the broker ended the connection during the login")
    return ended if isinstance(error, errors.KafkaConnectionError | errors.Cancelled) else error


def cluster_of(consumer: KafkaConsumer) -> Cluster:
    """Return what a consumer knows of topics."""
    cluster: Cluster = consumer._cluster
    return cluster


def look_up_within(consumer: KafkaConsumer, topic: str, seconds: float) -> None:
    """Look a topic up. Raises KafkaError where it is not there, or that takes longer.

    `partitions_for_topic` asks for all topics, which may be thousands, and would wait for ever.
    """
    cluster, wait = consumer._cluster, consumer._manager.wait_for
    cluster.set_topics([topic])
    for _ in range(2):  # the first answer may be to what was asked before, which was no topic
        if cluster.partitions_for_topic(topic) is None:
            consumer._net.run(wait, cluster.request_update(), seconds * 1000)


def read_records_by(consumer: KafkaConsumer, kind: type) -> None:
    """Let a consumer read the records that it has fetched by another class than its own, which it has no option for."""
    consumer._fetcher.PartitionRecords = kind


def commit_within(producer: KafkaProducer, seconds: float) -> bool:
    """Commit the transaction; return whether that was confirmed in time. Raises KafkaError.

    `commit_transaction` does the same, and would wait for ever for a broker that froze.
    """
    return _ends_within(producer, producer._transaction_manager.begin_commit(), seconds)


def abort_within(producer: KafkaProducer, seconds: float) -> bool:
    """Abort the transaction; the rest is as of `commit_within`."""
    return _ends_within(producer, producer._transaction_manager.begin_abort(), seconds)


def _ends_within(producer: KafkaProducer, ended: Any, seconds: float) -> bool:
    producer._sender.wakeup()
    return bool(ended.wait(seconds * 1000))


def add_to_transaction(producer: KafkaProducer, partitions: Collection[TopicPartition], seconds: float) -> bool:
    """Have a transaction, which has begun, end in partitions to which it writes nothing; return whether Kafka said yes.

    `send` is all that the client offers, and writes.
    """
    manager, deadline = producer._transaction_manager, time.monotonic() + seconds
    for partition in partitions:
        manager.maybe_add_partition_to_transaction(partition)
    producer._sender.wakeup()
    while not all(manager.is_send_to_partition_allowed(partition) for partition in partitions):
        if manager.has_error() or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def failure_of_transaction(producer: KafkaProducer) -> BaseException | None:
    """Return why a transaction failed: the client raises a plain KafkaError, and keeps the reason."""
    reason: BaseException | None = producer._transaction_manager.last_error
    return reason


def stop_sending(producer: KafkaProducer) -> None:
    """Tell a producer's sender to stop at once, and to drop what it has not sent.

    `close` first waits for what is under way and gives up closing when that takes too long; the sender would then go on
    sending.
    """
    producer._sender.force_close()


def look_for_work(producer: KafkaProducer, milliseconds: int) -> None:
    """Let a producer's sender look so often whether it is answered, while it has no transaction to send in.

    What is asked of it wakes it, so that nothing waits for the next look. Only a new producer takes the option.
    """
    producer._sender.config["retry_backoff_ms"] = milliseconds
