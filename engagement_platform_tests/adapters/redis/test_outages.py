"""What of Redis is an outage that passes, what changes nothing half-way, and which servers are refused."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.redis.connection import connect_redis, is_outage
from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, eviction_policy
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.windows import Window
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform_tests.adapters.redis.server import Server, settings_for
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers

WINDOW = Window.of_seconds(60, 10, 15)
NAMESPACE = "outage"


@pytest.fixture
def client(own_server: Server) -> Iterator[redis.Redis]:
    with connect_redis(settings_for(own_server, NAMESPACE).redis) as client:
        yield client


@pytest.fixture
def counts(client: redis.Redis) -> Counts:
    counts = Counts(client, NAMESPACE, WINDOW, PACKAGED)
    counts.begin("g1", "t1", {0: 0})
    counts.promote("g1", None)
    return counts


@pytest.fixture
def batch(client: redis.Redis) -> Batch:
    seconds, _ = client.time()
    bucket = seconds // 10 * 10_000
    return Batch(
        "g1",
        "t1",
        {0: (0, 1)},
        buckets={bucket: {dimension.name: {"m": [1, 2]} for dimension in PACKAGED.views.dimensions}},
    )


def test_a_full_server_changes_nothing(client: redis.Redis, counts: Counts, batch: Batch) -> None:
    """The first write of the script is one that a full server refuses; else the window slides and nothing is added."""
    before = Views(client, NAMESPACE, PACKAGED).snapshot()
    client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable, match=r"OOM|maxmemory"):
        counts.apply(batch)
    assert Views(client, NAMESPACE, PACKAGED).snapshot() == before
    client.config_set("maxmemory", "0")
    assert isinstance(counts.apply(batch), Applied)


def test_a_replica_is_an_outage(client: redis.Redis, counts: Counts, batch: Batch) -> None:
    client.replicaof("127.0.0.1", "1")
    with pytest.raises(Unavailable, match=r"READONLY|read only"):
        counts.apply(batch)
    client.replicaof("NO", "ONE")
    assert isinstance(counts.apply(batch), Applied)


def test_a_server_that_is_gone_is_an_outage(own_server: Server, counts: Counts, batch: Batch) -> None:
    own_server.kill()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{own_server.port}"):
        counts.apply(batch)
    own_server.start()
    assert isinstance(counts.apply(batch), Applied)


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.BusyLoadingError("LOADING"),
        redis.exceptions.TimeoutError("Timeout reading from socket"),
        redis.exceptions.MasterDownError("MASTERDOWN"),
        redis.exceptions.AskError("7 127.0.0.1:1"),
        redis.exceptions.InvalidResponse("Protocol Error: b'HTTP/1.1 400 Bad Request'"),
        redis.exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        redis.exceptions.ResponseError("BUSY Redis is busy running a script"),
        redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
)
def test_errors_that_pass(error: redis.exceptions.RedisError) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        redis.exceptions.NoPermissionError("NOPERM"),
        redis.exceptions.MovedError("7 127.0.0.1:1"),
        redis.exceptions.DataError("a bug"),
    ],
)
def test_errors_that_stay(error: redis.exceptions.RedisError) -> None:
    assert not is_outage(error)


def test_an_error_that_nobody_knows_is_not_hidden(client: redis.Redis, counts: Counts, batch: Batch) -> None:
    client.hset(f"{{{NAMESPACE}}}:meta", "as_of", "no number")
    with pytest.raises(redis.exceptions.ResponseError, match="number expected"):
        counts.apply(batch)


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_policy_that_evicts_is_refused(client: redis.Redis, counts: Counts, policy: str) -> None:
    client.config_set("maxmemory-policy", policy)
    with pytest.raises(StreamStopped, match=f"{policy}.*noeviction"):
        counts.check_policy()


def test_noeviction_is_accepted(counts: Counts) -> None:
    counts.check_policy()


def test_where_config_is_forbidden_info_tells_the_policy(own_server: Server, client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lfu")
    client.acl_setuser(
        "managed", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-config"]
    )
    url = own_server.url.replace("redis://", "redis://managed:pw@")
    settings = settings_for(own_server, NAMESPACE).replace(redis_url=SecretStr(url))
    with connect_redis(settings.redis) as managed:
        with pytest.raises(redis.exceptions.NoPermissionError):
            managed.config_get("maxmemory-policy")
        assert eviction_policy(managed) == "allkeys-lfu"


def test_an_error_does_not_show_the_password(own_server: Server) -> None:
    url = own_server.url.replace("redis://", "redis://someone:hunter2@")
    settings = settings_for(own_server, NAMESPACE).replace(redis_url=SecretStr(url))
    with connect_redis(settings.redis) as client, pytest.raises(Unavailable) as error:
        Counts(client, NAMESPACE, WINDOW, PACKAGED).state()
    assert "hunter2" not in str(error.value)


def test_a_rebuild_drops_the_offsets_and_leaves_the_views(
    own_server: Server, client: redis.Redis, counts: Counts, batch: Batch
) -> None:
    counts.apply(batch)
    before = Views(client, NAMESPACE, PACKAGED).snapshot()
    rebuild_views(settings_for(own_server, NAMESPACE))
    after = Views(client, NAMESPACE, PACKAGED).snapshot()
    assert after == replace(before, offsets={})
    assert counts.state().offsets == {}
