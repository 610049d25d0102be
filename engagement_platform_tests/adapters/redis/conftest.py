from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from engagement_platform.adapters.redis import scripts
from engagement_platform.domain.event_stream import EventStream
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.adapters.redis.tallied import CLOCK, NOW_MS, REAL_CLOCK, TEST_CLOCK, Tallied, make
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, VISITS


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def client(shared_server: Server) -> Iterator[redis.Redis]:
    with shared_server.client() as client:
        yield client


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid4().hex[:8]}"


@pytest.fixture
def clock_of_the_test(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    original = scripts.source

    def source(name: str) -> str:
        text = original(name)
        assert REAL_CLOCK in text
        return text.replace(REAL_CLOCK, TEST_CLOCK)

    monkeypatch.setattr(scripts, "source", source)
    client.set(CLOCK, NOW_MS)


@pytest.fixture
def stream() -> EventStream:
    """The stream of `tallied`: the packaged one, unless a file of tests has several."""
    return PACKAGED


@pytest.fixture
def tallied(clock_of_the_test: None, client: redis.Redis, namespace: str, stream: EventStream) -> Tallied:
    return make(client, namespace, stream)


@pytest.fixture(params=[PACKAGED, ORDERS, VISITS, PINGS], ids=lambda stream: stream.name)
def any_stream(request: pytest.FixtureRequest) -> EventStream:
    """The packaged stream, and others."""
    stream: EventStream = request.param
    return stream
