import time

import pytest
from kafka.cluster import ClusterMetadata
from kafka.future import Future

from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.consumer import KafkaPythonConsumer
from engagement_platform.adapters.kafka.port import Fetching
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
