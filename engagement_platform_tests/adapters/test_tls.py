"""A look at a server's TLS says exactly what a client may only guess."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement_platform.adapters import tls
from engagement_platform.adapters.redis.connection import connect_redis, reaching
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Kafka, Redis
from engagement_platform_tests.certificates import Authority
from engagement_platform_tests.terminator import terminated


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def plain() -> Iterator[int]:
    """A server without TLS."""
    with Receiver() as receiver:
        yield receiver.port


@pytest.fixture(scope="module")
def trusting(plain: int, authority: Authority) -> Iterator[int]:
    """A server that asks for no certificate."""
    with terminated(plain, authority.server()) as port:
        yield port


@pytest.fixture(scope="module")
def asking(plain: int, authority: Authority) -> Iterator[int]:
    """A server that asks for one."""
    with terminated(plain, authority.server(), clients=authority.file) as port:
        yield port


def context(cafile: Path | None, certfile: Path | None = None) -> ssl.SSLContext:
    return tls.context(Kafka.model_validate({"kafka_ssl_cafile": cafile, "kafka_ssl_certfile": certfile}))


def test_whether_tls_is_spoken(plain: int, trusting: int, asking: int) -> None:
    assert tls.is_spoken("127.0.0.1", trusting)
    assert tls.is_spoken("127.0.0.1", asking)
    assert not tls.is_spoken("127.0.0.1", plain)
    assert not tls.is_spoken("127.0.0.1", 1)
    request = b"PING\r\n\r\n"
    assert tls.answers_in_plain("127.0.0.1", plain, request)
    assert not tls.answers_in_plain("127.0.0.1", trusting, request)
    assert not tls.answers_in_plain("127.0.0.1", 1, request)


def test_a_server_that_says_nothing_speaks_neither() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not tls.is_spoken("127.0.0.1", port)
        assert not tls.answers_in_plain("127.0.0.1", port, b"PING\r\n")
        assert tls.objection(context(None), "127.0.0.1", port) is None


def test_why_two_sides_do_not_agree(trusting: int, asking: int, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    ours, at = context(authority.file), ("127.0.0.1", trusting)
    assert tls.objection(ours, *at) is None
    assert "local issuer certificate" in (tls.objection(context(stranger.file), *at) or "")
    assert "Hostname mismatch" in (tls.objection(ours, "localhost", trusting) or "")
    assert "certificate required" in (tls.objection(ours, "127.0.0.1", asking) or "")
    certified = context(authority.file, authority.client("ours"))
    assert tls.objection(certified, "127.0.0.1", asking) is None
    late = context(authority.file, authority.client("late", days=-1))
    assert "certificate expired" in (tls.objection(late, "127.0.0.1", asking) or "")
    assert tls.objection(ours, "127.0.0.1", 1) is None


def redis(url: str, **settings: object) -> None:
    made = Redis.model_validate({"redis_url": url, **{f"redis_{name}": value for name, value in settings.items()}})
    with connect_redis(made) as client, reaching(client):
        client.ping()


def test_a_client_of_redis_that_saw_its_connection_end_says_why(
    trusting: int, asking: int, authority: Authority
) -> None:
    with pytest.raises(Refused, match="certificate required") as raised:
        redis(f"rediss://127.0.0.1:{asking}", ssl_cafile=authority.file)
    assert "ENGAGEMENT_REDIS_SSL_CERTFILE" in raised.value.todo
    with pytest.raises(Refused, match="it speaks TLS there") as raised:
        redis(f"redis://127.0.0.1:{trusting}")
    assert "beginning of ENGAGEMENT_REDIS_URL" in raised.value.todo
    with pytest.raises(Unavailable) as away:
        redis("redis://127.0.0.1:1")
    assert not isinstance(away.value, Refused)
