"""The stack as a whole, on servers that these tests may kill."""

import os
from pathlib import Path

import psycopg
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from engagement_platform.local import stack, state
from engagement_platform.local.stack import Endpoints
from engagement_platform_tests import daemons
from engagement_platform_tests.conftest import SourceDatabase

TOPIC = "survivors"


@pytest.fixture(scope="module")
def written(own_stack_folder: Path) -> Path:
    """A folder whose servers hold one row, one message and one key."""
    found = stack.up(own_stack_folder, durable=False, use_usual_ports=False)
    with psycopg.connect(found.writer_dsn) as writer:
        writer.execute("INSERT INTO content VALUES (gen_random_uuid(), 's', 't', 'video', 1, now())")
    admin = KafkaAdminClient(bootstrap_servers=found.kafka_bootstrap_servers)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=found.kafka_bootstrap_servers, acks="all")
    producer.send(TOPIC, b"message").get(30)
    producer.close()
    with redis.Redis.from_url(found.redis_url) as client:
        client.set("key", "value")
    return own_stack_folder


ALL = ([("s",)], [1], b"value")


def running(folder: Path) -> list[str]:
    return [server.name for server in stack.servers(state.load(folder)) if server.daemon.is_running]


def contents(found: Endpoints) -> tuple[list[tuple[str]], list[int], bytes | None]:
    """What PostgreSQL, Kafka and Valkey hold."""
    with psycopg.connect(found.source_dsn) as reader:
        rows = reader.execute("SELECT slug FROM content").fetchall()
    consumer = KafkaConsumer(bootstrap_servers=found.kafka_bootstrap_servers)
    messages = consumer.end_offsets([TopicPartition(TOPIC, 0)])
    consumer.close()
    with redis.Redis.from_url(found.redis_url) as client:
        value = client.get("key")
    return rows, list(messages.values()), value


def test_the_platform_may_read_the_source_and_nothing_more(source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.dsn) as reader:
        assert reader.execute("SELECT count(*) FROM engagement_events").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM engagement_events")


@pytest.mark.usefixtures("own_stack")
def test_a_second_up_leaves_everything_as_it_is(written: Path) -> None:
    before = [server.daemon.process() for server in stack.servers(state.load(written))]

    assert contents(stack.up(written, durable=False, use_usual_ports=False)) == ALL
    assert [server.daemon.process() for server in stack.servers(state.load(written))] == before


@pytest.mark.usefixtures("own_stack")
def test_data_and_addresses_survive_a_stop(written: Path) -> None:
    before = stack.endpoints(written)

    stack.down(written)
    assert running(written) == []

    assert stack.up(written, durable=False, use_usual_ports=False) == before
    assert contents(before) == ALL


@pytest.mark.usefixtures("own_stack")
def test_data_survives_a_kill_of_everything(written: Path) -> None:
    for name in stack.LAYERS:
        daemons.kill(daemons.server(written, name).daemon)
    assert running(written) == []

    assert contents(stack.up(written, durable=False, use_usual_ports=False)) == ALL


@pytest.mark.usefixtures("own_stack")
def test_postgres_starts_again_while_its_dead_predecessor_is_still_listed(written: Path) -> None:
    child = os.fork()
    if child == 0:  # its parent dies at once, and nobody here can reap what it started
        daemons.kill(daemons.server(written, "postgres").daemon)
        daemons.server(written, "postgres").start()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    daemons.kill(daemons.server(written, "postgres").daemon)
    daemons.server(written, "postgres").start()

    assert contents(stack.endpoints(written)) == ALL
