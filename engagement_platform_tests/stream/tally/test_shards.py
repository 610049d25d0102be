"""Several tallies that divide the partitions, and what happens when two think that they have the same."""

import time

import pytest
import redis

from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.progress import REFUSED
from engagement_platform.domain.shards import Shard, shards_of
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually
from engagement_platform_tests.stream.tally.support import Running, Start, becomes_exact, ends, generation

pytestmark = pytest.mark.servers

PARTITIONS = 2
"""Of the topic."""


def begin(start: Start, settings: Settings, *shards: Shard) -> list[Running]:
    return [start(settings, Standalone(shard=shard)) for shard in shards]


def test_the_shards_count_each_event_once_also_while_partitions_are_added(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(200))
    running = begin(start, settings, *shards_of(3))
    becomes_exact(views, sent, settings)
    topic.widen(5)
    sent += topic.send(event(n) for n in range(200))
    becomes_exact(views, sent, settings)
    assert views.snapshot().offsets == ends(settings)
    read = [set(one.control.progress.offsets) for one in running]
    assert read == [{0, 3}, {1, 4}, {2}]
    assert sum(one.control.progress.events for one in running) >= len(sent)


def test_the_number_changes_under_load_and_nothing_is_lost_or_doubled(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    """Those of the number before go on all the while: what only seemed dead wakes, and the offsets in Redis decide."""
    sent = topic.send(event(n) for n in range(50))
    running = begin(start, settings, *shards_of(1))
    becomes_exact(views, sent, settings)
    for number in (3, 2):
        running += begin(start, settings, *shards_of(number))
        for _ in range(5):
            sent += topic.send(event(n) for n in range(40))
            time.sleep(0.1)
        becomes_exact(views, sent, settings)
    for one in running:
        one.finish()
    becomes_exact(views, sent, settings)
    assert sum(one.control.progress.figures().count(REFUSED) for one in running) > 0, "nobody was in another's way"


def test_one_shard_builds_the_views_for_all(settings: Settings, topic: Topic, views: Views, start: Start) -> None:
    sent = topic.send(event(n) for n in range(100))
    begin(start, settings, *shards_of(3))
    becomes_exact(views, sent, settings)
    before = generation(views)
    rebuild_views(settings)
    sent += topic.send(event(n) for n in range(100))
    eventually(lambda: generation(views) not in (None, before))
    becomes_exact(views, sent, settings)


def test_a_shard_builds_where_the_one_that_began_is_gone(
    settings: Settings, topic: Topic, views: Views, start: Start, client: redis.Redis
) -> None:
    sent = topic.send(event(n) for n in range(20))
    client.set(f"{{{settings.redis.namespace}}}:builder", "a shard that was killed", px=1_500)
    (waiting,) = begin(start, settings, Shard(1, 2))
    eventually(lambda: waiting.control.progress.state.kind is Activity.GIVES_WAY)
    eventually(lambda: generation(views) is not None)
    begin(start, settings, Shard(0, 2))
    becomes_exact(views, sent, settings)


def test_the_views_are_as_of_the_shard_that_lags(settings: Settings, topic: Topic, views: Views, start: Start) -> None:
    topic.send(event(n) for n in range(20))
    first, second = begin(start, settings, *shards_of(2))
    eventually(lambda: len(views.snapshot().offsets) == PARTITIONS and views.as_of())
    eventually(lambda: first.control.progress.offsets.keys() | second.control.progress.offsets.keys() == {0, 1})
    eventually(lambda: {"as_of:0", "as_of:1"} <= views.snapshot().meta.keys())
    second.finish()
    stands_at = int(views.snapshot().meta["as_of:1"])
    topic.send(event(n) for n in range(20))
    eventually(lambda: int(views.snapshot().meta["clock"]) - stands_at > 1_500)
    assert views.as_of() == stands_at, "what the second shard lacks is not as of now"
    begin(start, settings, Shard(1, 2))
    eventually(lambda: (views.as_of() or 0) > stands_at + 1_500)


def test_after_several_a_single_one_vouches_for_all(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(20))
    both = begin(start, settings, *shards_of(2))
    becomes_exact(views, sent, settings)
    for one in both:
        one.finish()
    begin(start, settings, *shards_of(1))
    stood_at = views.as_of() or 0
    eventually(lambda: (views.as_of() or 0) > stood_at + 600)
    begin(start, settings, Shard(0, 2))
    at = views.as_of() or 0
    eventually(lambda: (views.as_of() or 0) > at)


def test_a_shard_without_partitions_idles_and_says_so(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(20))
    number = PARTITIONS + 1
    begin(start, settings, Shard(0, number))
    (idle,) = begin(start, settings, Shard(number - 1, number))
    eventually(lambda: idle.control.progress.state.kind is Activity.IDLE)
    assert f"shard {number - 1} of {number} has no partition" in idle.control.progress.state.reason
    begin(start, settings, *[Shard(index, number) for index in range(1, number - 1)])
    becomes_exact(views, sent, settings)
    topic.widen(number)
    sent += topic.send(event(n) for n in range(200))
    becomes_exact(views, sent, settings)
    assert set(idle.control.progress.offsets) == {number - 1}
