"""A broker that freezes, and one that creates topics by itself."""

import threading
from pathlib import Path

import pytest

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import admin, ensure_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.local import kafka as local_kafka
from engagement_platform.local import stack as local_stack
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.topic import eventually
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.streaming import read_all

pytestmark = pytest.mark.slow


@pytest.fixture
def own_settings(own_stack: Endpoints) -> Settings:
    """Only Kafka is asked."""
    return make_settings(own_stack, own_stack.source_dsn, own_stack.platform_dsn, transaction_timeout_ms=2_000)


def test_a_commit_that_freezes_ends_in_time_and_leaves_no_thread(
    own_stack_folder: Path, own_settings: Settings
) -> None:
    kafka = local_stack.server(own_stack_folder, "kafka")
    ensure_topics(own_settings)
    before = set(threading.enumerate())
    for n in range(3):
        with open_producer(own_settings, 1_000_000) as producer:
            producer.fence()
            producer.commit([Message(own_settings.topics.events, None, b"%d" % n)])
            kafka.daemon.pause()
            try:
                with pytest.raises(Unavailable, match="does not answer"):
                    producer.commit([Message(own_settings.topics.events, None, b"frozen")])
            finally:
                kafka.daemon.resume()
    eventually(lambda: set(threading.enumerate()) <= before)
    assert {b"0", b"1", b"2"} <= {record.value for record in read_all(own_settings, own_settings.topics.events)}


def test_a_broker_that_creates_topics_is_not_asked_to(
    own_stack_folder: Path, own_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would have the broker's settings: a checkpoint topic that forgets, offsets without the time of arrival."""
    properties = local_kafka._PROPERTIES.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
    monkeypatch.setattr(local_kafka, "_PROPERTIES", properties)
    monkeypatch.setattr("engagement_platform.adapters.kafka.connection.MAX_BLOCK_MS", 1_000)
    monkeypatch.setattr("engagement_platform.adapters.kafka.producer.MAX_BLOCK_MS", 1_000)
    monkeypatch.setattr("engagement_platform.adapters.kafka.checkpoints.MAX_BLOCK_MS", 1_000)
    kafka = local_stack.server(own_stack_folder, "kafka")
    kafka.daemon.kill()
    kafka.start()
    with pytest.raises(Unavailable), open_checkpoints(own_settings):
        pass
    with pytest.raises(Unavailable), open_producer(own_settings, 1_000_000):
        pass
    with pytest.raises(Unavailable):
        TopicReader(own_settings.kafka, own_settings.topics.events)
    with admin(own_settings.kafka) as client:
        assert not {own_settings.topics.events, own_settings.topics.checkpoint} & set(client.list_topics())
    monkeypatch.undo()
    kafka.daemon.kill()  # the next test's creates none
    kafka.start()
