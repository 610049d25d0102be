"""Servers that go and come back, and those that are refused."""

import logging
import signal
import time
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.kafka import consumer
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.tally import course
from engagement_platform_tests import daemons
from engagement_platform_tests.adapters.kafka.topic import Topic, event, eventually
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.conftest import make_settings
from engagement_platform_tests.stream.tally.support import Start, becomes_exact, drain, generation, lines
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers


def test_a_redis_that_evicts_is_refused(settings: Settings, topic: Topic, own_redis: Server) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory-policy", "volatile-lru")
        with pytest.raises(StreamStopped, match="noeviction"):
            drain(settings.replace(redis_url=SecretStr(own_redis.url)))
        assert client.dbsize() == 0


def test_a_redis_that_is_told_to_evict_stops_the_tally_until_that_is_mended(
    settings: Settings, topic: Topic, own_redis: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.1)
    settings = settings.replace(redis_url=SecretStr(own_redis.url))
    with own_redis.client() as client:
        views = Views(client, settings.redis.namespace, PACKAGED)
        sent = topic.send(event(n) for n in range(50))
        state = start(settings).control.progress
        becomes_exact(views, sent, settings)
        before = generation(views)
        client.config_set("maxmemory-policy", "allkeys-random")
        eventually(lambda: state.state.kind is Activity.STOPPED)
        assert "allkeys-random" in state.state.reason
        assert "noeviction" in state.state.remedy
        sent += topic.send(event(n) for n in range(50))
        client.config_set("maxmemory-policy", "noeviction")
        becomes_exact(views, sent, settings)
        eventually(lambda: state.state.kind is Activity.STREAMS)
        assert generation(views) == before  # nothing was evicted


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_evicted_is_counted_again(
    settings: Settings, topic: Topic, own_redis: Server, start: Start, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """The policy may be right again before anybody looks, or the tally may not have run at all."""
    monkeypatch.setattr(course, "LOOK_SECONDS", 0.1)
    settings = settings.replace(redis_url=SecretStr(own_redis.url))
    with own_redis.client() as client:
        views = Views(client, settings.redis.namespace, PACKAGED)
        sent = topic.send(event(n, age=n % 300) for n in range(2_000))
        running = start(settings)
        becomes_exact(views, sent, settings)
        if restarted:
            running.finish()
        before = generation(views)
        evict_some(client, settings)
        if restarted:
            running = start(settings)
        becomes_exact(views, sent, settings)
        eventually(lambda: generation(views) != before)
        sent += topic.send(event(n, age=n % 300) for n in range(100))
        becomes_exact(views, sent, settings)
        running.finish()


def evict_some(client: redis.Redis, settings: Settings) -> None:
    """Let the server evict bucket keys, and keep meta and offsets, in one step for everybody else."""
    kept = [Keys.live(settings.redis.namespace).meta, Keys.live(settings.redis.namespace).offsets]
    held = [(key, value) for key in kept if (value := client.dump(key))]
    client.set("ballast", "x" * 1_000_000)
    with client.pipeline(transaction=True) as pipe:
        pipe.config_set("maxmemory-policy", "allkeys-random")
        pipe.config_set("maxmemory", 1)
        pipe.execute()
    eventually(lambda: client.info("stats")["evicted_keys"] > 5)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")
    for key, value in held:
        client.restore(key, 0, value, replace=True)


@pytest.mark.parametrize("outage", ["kill", "freeze"])
def test_redis_goes_and_comes_back(
    settings: Settings,
    topic: Topic,
    own_redis: Server,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    outage: str,
) -> None:
    monkeypatch.setattr("engagement_platform.adapters.redis.connection.TIMEOUT_SECONDS", 0.5)
    settings = settings.replace(redis_url=SecretStr(own_redis.url))
    with own_redis.client() as client, caplog.at_level(logging.WARNING, "engagement_platform"):
        views = Views(client, settings.redis.namespace, PACKAGED)
        sent = topic.send(event(n) for n in range(50))
        running = start(settings)
        becomes_exact(views, sent, settings)
        before = generation(views)
        own_redis.kill() if outage == "kill" else own_redis.freeze()
        sent += topic.send(event(n) for n in range(50))
        eventually(lambda: lines(caplog, "Waiting for it"))
        sent += topic.send(event(n) for n in range(50))
        time.sleep(0.5)  # several attempts, so that more than one line could be logged
        own_redis.start() if outage == "kill" else own_redis.thaw()
        becomes_exact(views, sent, settings)
        assert generation(views) == before  # went on; nothing was built anew
        eventually(lambda: lines(caplog, "answers again"))
        running.finish()
    assert (lines(caplog, "Waiting for it"), lines(caplog, "answers again")) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("outage", [signal.SIGKILL, signal.SIGSTOP])
def test_kafka_goes_and_comes_back(
    own_stack: Endpoints,
    own_stack_folder: Path,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    outage: signal.Signals,
) -> None:
    """While it is gone, as_of stands still: the views are told to be stale."""
    monkeypatch.setattr(consumer, "REFRESH_MS", 1_000)
    settings = make_settings(own_stack, "unused", "unused")
    topic, kafka = Topic(settings), daemons.server(own_stack_folder, "kafka")
    with connect_redis(settings.redis) as client, caplog.at_level(logging.WARNING, "engagement_platform"):
        views = Views(client, settings.redis.namespace, PACKAGED)
        sent = topic.send(event(n) for n in range(50))
        running = start(settings)
        becomes_exact(views, sent, settings)
        before = generation(views)
        kafka.daemon.signal(outage)
        eventually(lambda: lines(caplog, "Waiting for it"))
        stale = views.as_of()
        time.sleep(1.5)  # several attempts, so that more than one line could be logged
        assert views.as_of() == stale
        kafka.daemon.signal(signal.SIGCONT) if outage == signal.SIGSTOP else kafka.start()
        eventually(lambda: lines(caplog, "answers again"))
        sent += topic.send(event(n) for n in range(50))
        becomes_exact(views, sent, settings)
        assert generation(views) == before
        running.finish()
    topic.close()
    assert (lines(caplog, "Waiting for it"), lines(caplog, "answers again")) == (1, 1)


@pytest.mark.slow
def test_a_tally_that_starts_before_kafka_waits_for_it(
    own_stack: Endpoints, own_stack_folder: Path, start: Start
) -> None:
    settings = make_settings(own_stack, "unused", "unused")
    kafka = daemons.server(own_stack_folder, "kafka")
    topic = Topic(settings)
    sent = topic.send([event()])
    topic.close()
    kafka.daemon.stop(kafka.stop_signal)
    running = start(settings)
    kafka.start()
    with connect_redis(settings.redis) as client:
        becomes_exact(Views(client, settings.redis.namespace, PACKAGED), sent, settings)
    running.finish()


def test_a_tally_that_starts_before_its_topic_waits_for_it(settings: Settings, views: Views, start: Start) -> None:
    running = start()
    topic = Topic(settings)
    sent = topic.send([event()])
    becomes_exact(views, sent, settings)
    running.finish()
    topic.close()
