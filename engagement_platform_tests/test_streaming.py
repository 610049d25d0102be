"""What tests of the stream read is all that was written."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.topic import Topic, event, put
from engagement_platform_tests.streaming import read_all


def test_a_transaction_whose_end_is_not_marked_yet_is_waited_for(settings: Settings) -> None:
    """So is each one for a moment after the broker has said that it is committed."""
    topic = Topic(settings, partitions=1)
    with ThreadPoolExecutor(1) as pool:
        with topic.transaction() as producer:
            put(producer, topic.name, event(1))
            producer.flush()
            topic.send([event(2)])
            reading = pool.submit(read_all, settings, topic.name)
            with pytest.raises(TimeoutError):
                reading.result(timeout=1)
        assert [json.loads(record.value)["id"] for record in reading.result()] == [1, 2]
    topic.close()


def test_a_topic_that_is_not_there_has_nothing(settings: Settings) -> None:
    assert read_all(settings, settings.topics.events) == []
