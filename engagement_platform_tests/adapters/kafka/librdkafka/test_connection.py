"""A client connects to whatever answers, and lives."""

import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from engagement_platform.adapters.kafka.librdkafka.errors import error_of
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
