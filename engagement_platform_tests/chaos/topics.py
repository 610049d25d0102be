"""Faults of the topic: it grows."""

from random import Random

from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.system import System


def _grown(system: System, luck: Random) -> None:
    """Add a partition; from then on contents are in other partitions, and ordered within each."""
    from confluent_kafka.admin import AdminClient, NewPartitions

    topic = system.settings.topics.events
    client = AdminClient({"bootstrap.servers": system.addresses()["kafka"]})
    present = len(client.list_topics(topic, 10).topics[topic].partitions)
    for future in client.create_partitions([NewPartitions(topic, present + 1)]).values():
        future.result(30)
    system.growths += 1


FAULTS: tuple[Fault, ...] = (
    Fault("grow the topic", "a partition is added to the topic of events", "the platform, by itself", _grown, 40.0,
          once=True),
)  # fmt: skip
