"""Several forwards that divide the partitions, and how one number of them follows another."""

from contextlib import ExitStack

from kafka.admin import NewPartitions

from engagement_platform.adapters.platform import forwarded
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.shards import Shard, shards_of
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import ids_of, out_of_order, publish, received
from engagement_platform_tests.streaming import drain, running, wait_for


def begin(stack: ExitStack, settings: Settings, *shards: Shard) -> list[Standalone]:
    return [stack.enter_context(running(forward.run, settings, Standalone(shard=shard))) for shard in shards]


def arrives(receiver: Receiver, ids: list[int]) -> None:
    wait_for(lambda: received(receiver) >= set(ids), "all to be delivered")


def test_one_number_follows_another_and_each_event_is_delivered_once_in_order(to: To, receiver: Receiver) -> None:
    """Each begins when those before have ended, as the lease sees to."""
    ids: list[int] = []
    for number in (1, 3, 2):
        with ExitStack() as stack:
            begin(stack, to(), *shards_of(number))
            ids += publish(to(), range(len(ids), len(ids) + 150))
            arrives(receiver, ids)
    assert sorted(ids_of(receiver.deliveries)) == ids
    assert not out_of_order(receiver.deliveries)
    drain(forward.run, to())
    assert len(receiver.deliveries) == len(ids), "each partition's offset was kept, whoever had it"


def test_what_only_seemed_dead_may_repeat_and_nothing_is_lost(to: To, receiver: Receiver) -> None:
    ids: list[int] = []
    with ExitStack() as stack:
        for number in (1, 3, 2):
            begin(stack, to(), *shards_of(number))
            ids += publish(to(), range(len(ids), len(ids) + 100))
            arrives(receiver, ids)
    assert received(receiver) == set(ids)
    assert not out_of_order(receiver.deliveries), "each at its first arrival"


def test_partitions_that_are_added_have_an_owner(to: To, receiver: Receiver) -> None:
    settings = to()
    with ExitStack() as stack:
        begin(stack, settings, *shards_of(3))
        ids = publish(settings, range(50))
        arrives(receiver, ids)
        more = settings.topics.partitions + 3
        with admin(settings.kafka) as client:
            client.create_partitions({settings.topics.events: NewPartitions(more)})
        ids += publish(settings, range(50, 300))
        wait_for(lambda: received(receiver) >= set(ids), "those in partitions that were added")
    assert sorted(ids_of(receiver.deliveries)) == ids


def test_the_copy_of_the_offsets_has_the_partitions_of_all_shards(to: To, receiver: Receiver) -> None:
    settings, number = to(), 2
    ensure_schema(settings)
    ids = publish(settings, range(100))
    with ExitStack() as stack:
        begin(stack, settings, Shard(0, number))
        wait_for(lambda: forwarded.read(settings, settings.topics.events), "the first shard's copy")
        alone = forwarded.read(settings, settings.topics.events)
        assert alone is not None
        assert alone.settled_to is None, "what the other shard lacks is not settled"
        begin(stack, settings, Shard(1, number))
        wait_for(lambda: received(receiver) == set(ids), "all to be delivered")
    kept = forwarded.read(settings, settings.topics.events)
    assert kept is not None
    assert set(kept.offsets) == set(range(settings.topics.partitions))
    assert kept.settled_to is not None


def test_a_shard_without_partitions_idles_and_says_so(to: To) -> None:
    publish(to(), range(5))
    number = 50
    with running(forward.run, to(), Standalone(shard=Shard(number - 1, number))) as control:
        wait_for(lambda: control.progress.state.kind is Activity.IDLE, "it to say that it has nothing to do")
        assert "has no partition" in control.progress.state.reason
