import time
from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.cluster import ClusterMetadata
from kafka.future import Future
from kafka.protocol.metadata import MetadataRequest

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.consumer import KafkaPythonConsumer
from engagement_platform.adapters.kafka.port import Fetching, Message
from engagement_platform.adapters.kafka.producer import open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

pytestmark = pytest.mark.servers


def test_a_topic_that_is_looked_up_in_vain_is_not_waited_for_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks up in the client ends with a failure that it meets while another look-up is under way."""
    monkeypatch.setattr(connection, "MAX_BLOCK_MS", 500)
    monkeypatch.setattr(ClusterMetadata, "request_update", lambda _: Future())
    began = time.monotonic()
    with pytest.raises(Unavailable):
        KafkaPythonConsumer(settings.kafka, settings.topics.events, Fetching())
    assert time.monotonic() - began < 30


def test_nothing_is_asked_for_all_topics_which_may_be_thousands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    of_cluster = ClusterMetadata.metadata_request

    def noted(cluster: ClusterMetadata) -> MetadataRequest:
        request = of_cluster(cluster)
        asked.extend([None] if request.topics is MetadataRequest.ALL_TOPICS else [one.name for one in request.topics])
        return request

    monkeypatch.setattr(ClusterMetadata, "metadata_request", noted)
    monkeypatch.setattr(KafkaAdminClient, "list_topics", lambda _: pytest.fail("all topics are asked for"))
    ensure_topics(settings)
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        producer.commit([Message(settings.topics.events, None, b"x")])
    with closing(KafkaPythonConsumer(settings.kafka, settings.topics.events, Fetching())) as consumer:
        consumer.assign({0: 0})
        consumer.poll(100)
    assert None not in asked
    assert settings.topics.events in asked
