"""Views that cannot be continued: refused, or built anew beside the live ones."""

import functools
import itertools
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.kafka import consumer
from engagement_platform.adapters.kafka.kafka_python.consumer import KafkaPythonConsumer
from engagement_platform.adapters.kafka.topics import topic_id
from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import Settings
from engagement_platform.stream.tally import clients, position
from engagement_platform.stream.topic_watch import window_of
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.stream.tally.support import (
    Impatient,
    Start,
    assert_exact,
    becomes_exact,
    drain,
    generation,
)
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers


def test_a_recreated_topic_is_refused_until_the_views_are_rebuilt(
    settings: Settings, topic: Topic, views: Views
) -> None:
    topic.send(event(n) for n in range(10))
    drain(settings)
    before = views.snapshot()
    topic.recreate()
    sent = topic.send(event(n) for n in range(12))
    with pytest.raises(StreamStopped, match="engagement-platform views rebuild"):
        drain(settings)
    assert views.snapshot() == before
    rebuild_views(settings)
    drain(settings)
    assert_exact(views, sent, settings)


def test_a_topic_that_is_recreated_under_a_running_tally_stops_it(
    settings: Settings, topic: Topic, views: Views, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(10))
    running = start()
    becomes_exact(views, sent, settings)
    topic.recreate()
    eventually(lambda: "engagement-platform views rebuild" in running.told)
    eventually(lambda: running.control.progress.lag is None)  # the offsets are of the topic that is gone
    running.finish()


def test_missing_offsets_of_a_recreated_topic_do_not_replace_the_views(
    settings: Settings, topic: Topic, views: Views, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offsets that are gone mean a rebuild, but not before the topic was looked up."""
    monkeypatch.setattr(KafkaPythonConsumer, "_note_state", lambda *_: None)  # the regular look-up is late
    monkeypatch.setattr(consumer, "REFRESH_MS", 20_000)
    sent = topic.send(event(n) for n in range(10))
    running = start()
    becomes_exact(views, sent, settings)
    before = views.snapshot()
    topic.recreate()
    eventually(lambda: "engagement-platform views rebuild" in running.told)
    running.finish()
    assert (generation(views), views.snapshot().views) == (before.meta["generation"], before.views)


def test_after_a_flush_the_window_is_built_again_and_never_half(
    settings: Settings, topic: Topic, own_redis: Server, start: Start
) -> None:
    settings = settings.replace(redis_url=SecretStr(own_redis.url))
    sent = [one for _ in range(4) for one in topic.send(event(n, age=n % 300) for n in range(1_000))]
    client = own_redis.client()
    views = Views(client, settings.redis.namespace, PACKAGED)
    start(settings)
    becomes_exact(views, sent, settings)
    seen: set[int] = set()
    client.flushall()
    eventually(lambda: seen.add(views.totals().count) or views.totals().count == 4_000)  # type: ignore[func-returns-value]
    assert seen <= {0, 4_000}
    assert_exact(views, sent, settings)
    sent += topic.send([event()])
    becomes_exact(views, sent, settings)


def test_while_views_are_rebuilt_readers_keep_the_old_ones(
    settings: Settings, topic: Topic, views: Views, start: Start, client: redis.Redis
) -> None:
    sent = topic.send(event(n, age=n % 300) for n in range(2_000))
    start()
    becomes_exact(views, sent, settings)
    before = generation(views)
    rebuild_views(settings)

    def replaced() -> bool:
        assert views.totals().count == 2_000
        return generation(views) != before

    eventually(replaced)
    assert_exact(views, sent, settings)
    assert not list(client.scan_iter(f"{{{settings.redis.namespace}}}:build:*"))


def test_another_window_in_the_settings_builds_the_views_anew(settings: Settings, topic: Topic, views: Views) -> None:
    sent = topic.send(event(n, age=n) for n in range(100))
    drain(settings)
    wider = settings.replace(window_seconds=60, bucket_seconds=5)
    drain(wider)
    assert_exact(views, sent, wider)


def test_a_redis_clock_that_fell_back_far_builds_the_views_anew(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis
) -> None:
    sent = topic.send(event(n, age=n) for n in range(100))
    drain(settings)
    meta = Keys.live(settings.redis.namespace).meta
    before = generation(views)
    client.hset(meta, "as_of", views.snapshot().as_of_ms + 3_600_000)
    drain(settings)
    assert_exact(views, sent, settings)
    assert generation(views) != before


def test_racing_tallies_on_an_empty_redis_count_once(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    sent = topic.send(event(n, age=n % 300) for n in range(2_000))
    running = [start() for _ in range(3)]
    becomes_exact(views, sent, settings)
    sent += topic.send(event(n) for n in range(100))
    becomes_exact(views, sent, settings)
    for one in running:
        one.finish()
    assert_exact(views, sent, settings)
    assert not list(client.scan_iter(f"{{{settings.redis.namespace}}}:build:*"))


def test_a_build_that_was_lost_begins_again(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """Its process stood still for longer than the build lives."""
    sent = topic.send(event(n) for n in range(100))
    monkeypatch.setattr(position, "FRESH_SECONDS", -1.0)  # so that it is never promoted
    running = start()
    pattern = f"{{{settings.redis.namespace}}}:build:*"
    eventually(lambda: list(client.scan_iter(pattern)))
    for key in list(client.scan_iter(pattern)):
        client.unlink(key)
    eventually(lambda: running.control.progress.detail.get("refused"))
    monkeypatch.setattr(position, "FRESH_SECONDS", 1.0)
    becomes_exact(views, sent, settings)


def builds(client: redis.Redis, settings: Settings) -> set[str]:
    """Return the generations that are being built."""
    return {key.split(":")[2] for key in client.scan_iter(f"{{{settings.redis.namespace}}}:build:*")}


@pytest.fixture
def endless_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position, "FRESH_SECONDS", -1.0)


@pytest.mark.usefixtures("endless_builds")
def test_a_build_that_was_refused_leaves_nothing(
    settings: Settings, topic: Topic, client: redis.Redis, start: Start
) -> None:
    topic.send(event(n) for n in range(100))
    start()
    eventually(lambda: builds(client, settings))
    (refused,) = builds(client, settings)
    client.hset(Keys.build(settings.redis.namespace, refused).meta, "topic_id", "another")
    eventually(lambda: builds(client, settings) - {refused})
    assert refused not in builds(client, settings)


@pytest.mark.usefixtures("endless_builds")
def test_a_build_ends_as_soon_as_other_views_are_live(
    settings: Settings, topic: Topic, views: Views, client: redis.Redis, start: Start
) -> None:
    sent = topic.send(event(n) for n in range(100))
    running = start()
    eventually(lambda: builds(client, settings))
    other = Counts(client, settings.redis.namespace, window_of(settings.views), PACKAGED)
    other.begin("other", topic_id(settings.kafka, settings.topics.events), {0: 0, 1: 0})
    assert other.promote("other", None) == "promoted"
    becomes_exact(views, sent, settings)
    assert generation(views) == "other"
    assert not builds(client, settings)
    assert not running.ended


@pytest.mark.usefixtures("endless_builds")
def test_builds_that_follow_each_other_are_spaced_out(
    settings: Settings, topic: Topic, client: redis.Redis, start: Start
) -> None:
    control = Impatient()
    start(settings, control)
    seen: set[str] = set()
    while len(seen) < 5:
        eventually(lambda: builds(client, settings) - seen)
        (build,) = builds(client, settings) - seen
        seen.add(build)
        client.hset(Keys.build(settings.redis.namespace, build).meta, "topic_id", "another")
    eventually(lambda: len(control.waits) >= 4)
    assert control.waits[:4] == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.usefixtures("endless_builds")
def test_a_build_whose_offsets_expire_leaves_nothing(
    settings: Settings, topic: Topic, client: redis.Redis, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = consumer.TopicReader.poll
    expired = False

    def poll(self: consumer.TopicReader, timeout_ms: int) -> object:
        nonlocal expired
        if expired:
            expired = False
            raise consumer.OffsetsExpired("Kafka does not have them.")
        return original(self, timeout_ms)

    monkeypatch.setattr(consumer.TopicReader, "poll", poll)
    start()
    eventually(lambda: builds(client, settings))
    (first,) = builds(client, settings)
    expired = True
    eventually(lambda: builds(client, settings) - {first})
    assert first not in builds(client, settings)


def test_a_build_goes_on_where_it_was_when_connections_break_again_and_again(
    settings: Settings, topic: Topic, views: Views, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that takes longer than connections hold is never done."""
    sent = topic.send(event(n, age=n % 300) for n in range(2_000))
    apply, begin = Counts.apply, Counts.begin
    calls, begun = itertools.count(1), list[str]()

    def breaks(self: Counts, batch: Batch, *, build: bool = False) -> Applied | Refused:
        outcome = apply(self, batch, build=build)
        if build and next(calls) % 4 == 0:
            raise Unavailable("Redis does not answer.")
        return outcome

    def noted(self: Counts, generation: str, *arguments: Any) -> None:
        begun.append(generation)
        begin(self, generation, *arguments)

    monkeypatch.setattr(Counts, "apply", breaks)
    monkeypatch.setattr(Counts, "begin", noted)
    monkeypatch.setattr(clients, "TopicReader", functools.partial(consumer.TopicReader, max_records=100))
    running = start()
    becomes_exact(views, sent, settings)
    assert [generation(views)] == begun
    assert next(calls) > 20
    running.finish()
