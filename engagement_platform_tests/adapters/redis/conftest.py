from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from engagement_platform_tests.adapters.redis.server import Server


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
