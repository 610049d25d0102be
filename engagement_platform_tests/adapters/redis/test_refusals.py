"""What Redis refuses until a person acts: told clearly, without secrets, with something to do about it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from pydantic import SecretStr

from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import Applied, Counts
from engagement_platform.adapters.redis.refusals import COMMANDS, refusal, rights
from engagement_platform.adapters.redis.refusals import Server as Peer
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import Refused, StreamStopped
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform.settings import FIELDS, Redis, Settings
from engagement_platform_tests.adapters.kafka.topic import eventually
from engagement_platform_tests.adapters.redis.server import Server, settings_for
from engagement_platform_tests.adapters.redis.tallied import WINDOW, Tallied, event, make
from engagement_platform_tests.ports import free_port
from engagement_platform_tests.streams import PACKAGED

SECRET = "hunter2"
SERVER = Peer("h:1", "default", Redis())


@pytest.fixture
def settings(shared_server: Server, namespace: str) -> Settings:
    return settings_for(shared_server, namespace)


def as_user(client: Any, settings: Settings, rights: str) -> Settings:
    """Return settings for a user `tally` with these rights."""
    client.execute_command("ACL", "SETUSER", "tally", "reset", "on", f">{SECRET}", *rights.split())
    url = settings.redis.url.get_secret_value().replace("redis://", f"redis://tally:{SECRET}@")
    return settings.replace(redis_url=SecretStr(url))


@pytest.mark.servers
@pytest.mark.parametrize("less", ["-hset", "-time", "-evalsha -eval", "resetkeys ~other:*"])
def test_missing_rights_are_told(
    client: redis.Redis, tallied: Tallied, settings: Settings, namespace: str, less: str
) -> None:
    limited = as_user(client, settings, f"{rights(namespace)} {less}")
    with connect_redis(limited.redis) as connected, pytest.raises(Refused) as error:
        Counts(connected, namespace, WINDOW, PACKAGED).apply(tallied.batch(event()))
    assert f"ACL SETUSER tally {rights(namespace)}, and ACL SAVE" in str(error.value)
    assert urlsplit(settings.redis.url.get_secret_value()).netloc in error.value.what
    assert SECRET not in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.servers
def test_who_refuses_the_login_says_so_until_it_is_right(own_server: Server, namespace: str) -> None:
    administrator: Any = own_server.client()
    ours = settings_for(own_server, namespace)
    right = f"redis://tally:{SECRET}@127.0.0.1:{own_server.port}/0"

    def state_by(url: str) -> None:
        with connect_redis(ours.replace(redis_url=SecretStr(url)).redis) as client:
            Counts(client, namespace, WINDOW, PACKAGED).state()

    def refused_by(url: str) -> str:
        with pytest.raises(Refused) as error:
            state_by(url)
        assert error.value.server == f"Redis at 127.0.0.1:{own_server.port}"
        assert "does not answer" not in str(error.value)
        assert SECRET not in str(error.value)
        return str(error.value)

    assert "refuses the login of its user tally" in refused_by(right)  # no such user
    administrator.execute_command("ACL", "SETUSER", "tally", "on", f">{SECRET}", "~*", "+@all")
    state_by(right)
    for wrong in ("nobody:x", "tally:x", f":{SECRET}", "tally:"):
        assert "ENGAGEMENT_REDIS_URL" in refused_by(right.replace(f"tally:{SECRET}", wrong))
    administrator.execute_command("CONFIG", "SET", "requirepass", "another")
    assert "Authentication required" in refused_by(own_server.url)
    administrator.execute_command("ACL", "SETUSER", "tally", "off")
    refused_by(right)
    administrator.execute_command("ACL", "SETUSER", "tally", "on")
    state_by(right)


@pytest.mark.servers
def test_the_rights_that_are_asked_for_suffice(
    client: redis.Redis, tallied: Tallied, settings: Settings, namespace: str
) -> None:
    use_everything(as_user(client, settings, f"{rights(namespace)} {CLOCK}"), tallied, namespace)


CLOCK = "~test:clock +get"
"""The clock of the test is a key, too."""


def use_everything(limited: Settings, tallied: Tallied, namespace: str) -> None:
    """Do all that tally, its recovery and readers do."""
    with connect_redis(limited.redis) as connected:
        counts = Counts(connected, namespace, WINDOW, PACKAGED)
        counts.check_policy()
        counts.evictions()
        one = replace(tallied, counts=counts, views=Views(connected, namespace, PACKAGED))
        one.send(event(), event(-5_000, device=None), event(10 * 60_000))
        one.at(70_000)
        one.send(event(69_000))
        one.assert_exact()
        assert one.views.top("content", "count", 1).members
        assert one.views.totals().count == 1
        counts.begin("g2", "t1", {0: 0})
        counts.discard("g2")
        counts.begin("g3", "t1", {0: 0})
        assert counts.promote("g3", "g1") == "promoted"
        rebuild_views(limited)
        assert counts.state().offsets == {}


FOR_OTHERS = {"select", "client|setinfo", "scan", "time", "hdel", "zrem"}
"""What this does not come to: another database, a log without refusals, keys that another program spoiled, the server's
own clock (its refusal is above), and one member that leaves the window while another stays."""


@pytest.mark.servers
@pytest.mark.parametrize("command", sorted(set(COMMANDS) - FOR_OTHERS))
def test_each_right_that_is_asked_for_is_needed_and_named(
    client: redis.Redis, tallied: Tallied, settings: Settings, namespace: str, command: str
) -> None:
    administrator: Any = client
    administrator.script_flush()
    limited = as_user(client, settings, f"{rights(namespace)} {CLOCK} -{command}")
    with pytest.raises(Refused) as error:
        use_everything(limited, tallied, namespace)
    assert command in error.value.what.lower(), error.value.what
    assert f"+{command}" in error.value.todo
    assert SECRET not in str(error.value)


def look_and_count(tallied: Tallied) -> None:
    tallied.counts.state()
    tallied.counts.apply(tallied.batch(event()))


def spoil(client: redis.Redis, key: str, how: str) -> None:
    if how == "other kind":
        client.delete(key)
        client.set(key, "of somebody else")
    else:
        client.hset(key, mapping={"window_ms": "ten minutes", "bucket_ms": "x", "0": "x"})


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("meta", "other kind"),
        ("offsets", "other kind"),
        ("buckets", "other kind"),
        ("view:device:ms", "other kind"),
        ("meta", "other values"),
        ("offsets", "other values"),
    ],
)
def test_keys_that_another_program_spoiled_are_told_and_built_anew(
    client: redis.Redis, tallied: Tallied, settings: Settings, namespace: str, name: str, how: str
) -> None:
    tallied.send(event(), event(12_000))
    spoil(client, f"{{{namespace}}}:{name}", how)
    with pytest.raises(StreamStopped, match=r"ENGAGEMENT_REDIS_NAMESPACE.*engagement-platform views rebuild") as error:
        look_and_count(tallied)
    assert f":{urlsplit(settings.redis.url.get_secret_value()).port} " in error.value.what
    rebuild_views(settings)
    state = tallied.counts.state()
    assert state.offsets == {}
    tallied.counts.begin("g1", "t1", {0: 0})  # the name that `tallied` uses
    assert tallied.counts.promote("g1", state.generation) == "promoted"
    tallied.offset, tallied.accepted = 0, []
    tallied.send(event(12_000))
    tallied.at(80_000)
    tallied.send()
    tallied.assert_exact()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two nodes with half of the slots each."""
    nodes: list[Server] = []
    try:
        buses = [free_port(), free_port()]
        for bus in buses:
            folder: Path = tmp_path_factory.mktemp("node")
            nodes.append(Server(folder, cluster_enabled="yes", cluster_port=bus, cluster_node_timeout=2_000))
        clients: list[Any] = [node.client() for node in nodes]
        for client, slots in zip(clients, ((0, 8_191), (8_192, 16_383)), strict=True):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, buses[1])
        for client in clients:
            eventually(lambda client=client: "cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))  # type: ignore[misc]
            client.close()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@pytest.mark.servers
def test_a_node_of_a_cluster_without_the_views_is_told_and_the_one_that_has_them_serves(
    cluster: list[Server], namespace: str
) -> None:
    node: Any = cluster[0].client()
    slot = node.execute_command("CLUSTER", "KEYSLOT", f"{{{namespace}}}:meta")
    has, lacks = cluster if slot <= 8_191 else reversed(cluster)
    with connect_redis(settings_for(lacks, namespace).redis) as client, pytest.raises(StreamStopped) as error:
        make(client, namespace)
    assert f"127.0.0.1:{lacks.port} is one node of a cluster" in error.value.what
    assert str(has.port) in error.value.what
    assert "ENGAGEMENT_REDIS_URL" in error.value.todo
    with connect_redis(settings_for(has, namespace).redis) as client:
        tallied = make(client, namespace)
        assert isinstance(tallied.counts.apply(tallied.batch()), Applied)


@pytest.mark.parametrize(
    "reply",
    [
        "unknown command 'AUTH', with args beginning with: 'hunter2' ",
        "ERR Error running script (call to f_1): @user_script: 9: @user_script: 9: Unknown Redis command called from"
        " Lua script",
        "Unknown command called from script script: on @user_script:1.",
    ],
)
def test_a_server_without_a_command_is_told_without_its_arguments(reply: str) -> None:
    told = refusal(redis.exceptions.ResponseError(reply), SERVER)
    assert told is not None
    assert "Redis 6.2" in told.todo
    assert SECRET not in str(told)


def test_a_certificate_that_is_not_trusted_is_a_refusal_and_a_connection_that_broke_is_none() -> None:
    untrusted = "Error 1 connecting to h:1. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed."
    told = refusal(redis.exceptions.ConnectionError(untrusted), SERVER)
    assert isinstance(told, Refused)
    assert told.todo.startswith("Let ENGAGEMENT_REDIS_SSL_CAFILE name")
    broken = "Error 8 connecting to h:1. [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol."
    assert refusal(redis.exceptions.ConnectionError(broken), SERVER) is None


def test_what_nobody_knows_is_no_refusal() -> None:
    assert refusal(redis.exceptions.ResponseError("attempt to perform arithmetic on a nil value"), SERVER) is None


@pytest.mark.parametrize("reply", ["WRONGPASS", "NOPERM", "[SSL: WRONG]", "WRONGTYPE", "non local key in a cluster"])
def test_a_refusal_names_the_variables_of_the_stream_that_has_it(reply: str) -> None:
    own = Redis.model_validate({"stream": "orders", "overrides": [name for name in FIELDS if "redis" in name]})
    told = refusal(redis.exceptions.ResponseError(reply), SERVER._replace(settings=own))
    assert told is not None
    assert not re.search("ENGAGEMENT_(?!ORDERS__)|{engagement}", told.todo)
    assert re.search("ENGAGEMENT_ORDERS__|~{orders}:", told.todo)
