import pytest

from engagement_platform.adapters.kafka.topics import ensure_topics, topic_configuration, topics_to_make
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.kafka_admin import admin

pytestmark = pytest.mark.servers


def test_what_a_first_start_creates_is_accepted_by_the_next(settings: Settings) -> None:
    for _ in range(2):
        ensure_topics(settings)
    for name, wanted in topics_to_make(settings.topics).items():
        assert topic_configuration(settings.kafka, name).items() >= wanted.configs.items()


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_checkpoint_topic_that_forgets_is_refused_with_the_command(settings: Settings, policy: str) -> None:
    """Made by hand, or by a broker that creates topics: a week later the relay would have no checkpoint."""
    with admin(settings.kafka) as client:
        wanted = {"num_partitions": 1, "replication_factor": 1, "configs": {"cleanup.policy": policy}}
        client.create_topics({settings.topics.checkpoint: wanted}, wait_for_metadata=True)
    command = (
        rf"kafka-configs.*{settings.kafka.bootstrap_servers}.*{settings.topics.checkpoint}.*cleanup\.policy=compact"
    )
    with pytest.raises(StreamStopped, match=command):
        ensure_topics(settings)


def test_a_configuration_that_is_not_shown_is_unavailable(settings: Settings) -> None:
    with pytest.raises(Unavailable, match=settings.topics.events):
        topic_configuration(settings.kafka, settings.topics.events)
