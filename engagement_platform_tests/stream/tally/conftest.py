from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from engagement_platform.adapters.kafka import consumer
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone
from engagement_platform_tests.adapters.kafka.topic import Topic
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.stream.tally.support import Running, Start
from engagement_platform_tests.streams import PACKAGED, known


@pytest.fixture(autouse=True)
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "REFRESH_MS", 300)


@pytest.fixture
def topic(settings: Settings) -> Iterator[Topic]:
    topic = Topic(settings)
    yield topic
    topic.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with connect_redis(settings.redis) as client:
        yield client


@pytest.fixture
def views(client: redis.Redis, settings: Settings) -> Views:
    return Views(client, settings.redis.namespace, PACKAGED)


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    started: list[Running] = []
    found = ExitStack()

    def one(
        settings: Settings = settings, control: Standalone | None = None, stream: EventStream | None = None
    ) -> Running:
        found.enter_context(known(stream or PACKAGED))
        started.append(Running(settings.replace(stream=(stream or PACKAGED).name), control))
        return started[-1]

    yield one
    for running in started:
        running.control.stop.set()
    for running in started:
        running._thread.join(20)
    found.close()
