"""A client connects to whatever answers, and lives."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from engagement_platform.adapters.kafka.librdkafka.errors import error_of
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.topic import Topic
from engagement_platform_tests.listeners import broker
from engagement_platform_tests.streaming import wait_for

pytestmark = pytest.mark.slow

FENCED = """\
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=4000
"""
"""A broker that gives too few signs of life: at times it is taken for dead, and says that there is no broker."""
CONNECT = """
import time
from contextlib import suppress
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.librdkafka.connection import Requests
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Kafka
connection.BOOTSTRAP_MS = 1_000
requests = Requests(Kafka(kafka_bootstrap_servers={server!r}))
end = time.monotonic() + 10  # in which the broker is twice taken for alive and for dead
while time.monotonic() < end:
    with suppress(Unavailable):
        requests.connect()
    time.sleep(0.05)
"""
"""Connects again and again; it exits 0 unless the library aborts it."""


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    topic = Topic(settings)
    yield topic
    topic.close()


def knows_no_broker(client: AdminClient) -> bool:
    try:
        client.list_topics(timeout=2)
    except KafkaException as error:
        return error_of(error).name() == "_PARTIAL"
    return False


def test_a_broker_that_is_taken_for_dead_ends_no_process(tmp_path: Path) -> None:
    with broker(tmp_path, {}, FENCED) as ports:
        server = f"127.0.0.1:{ports['kafka']}"
        client = AdminClient({"bootstrap.servers": server, "log_level": 0})
        wait_for(lambda: knows_no_broker(client), "a broker that does not know itself")
        done = subprocess.run(
            [sys.executable, "-c", CONNECT.format(server=server)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


FIRST = """
import time
from engagement_platform.adapters.kafka.librdkafka.consumer import LibrdkafkaConsumer
from engagement_platform.adapters.kafka.port import Fetching
from engagement_platform.settings import Kafka
began = time.monotonic()
reader = LibrdkafkaConsumer(Kafka(kafka_bootstrap_servers={server!r}), {topic!r}, Fetching())
reader.assign({{0: 0}})
while not reader.poll(50):
    assert time.monotonic() < began + 30
print(time.monotonic() - began)
"""


@pytest.mark.parametrize("client", ["librdkafka"])
def test_the_first_reader_of_a_process_reads_at_once(settings: Settings, topic: Topic) -> None:
    """The library looks for leaders that it misses once a second, so it should know them by then."""
    topic.send_raw(b"{}")
    code = FIRST.format(server=settings.kafka.bootstrap_servers, topic=settings.topics.events)
    seconds = sorted(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )
    assert seconds[1] < 0.9, seconds
