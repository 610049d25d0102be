"""Stacks that are started at once, and other servers on the ports that were chosen."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis
from kafka.admin import KafkaAdminClient

from engagement_platform.local import stack, state
from engagement_platform.local.httpbin import Httpbin
from engagement_platform.local.stack import Endpoints
from engagement_platform.local.valkey import Valkey

pytestmark = pytest.mark.slow


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    made = [Path(tempfile.mkdtemp(prefix="engagement-two-")) for _ in range(2)]
    for folder in made:
        folder.chmod(0o755)
    try:
        yield made
    finally:
        for folder in made:
            if (folder / "stack.json").exists():
                stack.reset(folder)
            shutil.rmtree(folder, ignore_errors=True)


def identities(at: Endpoints) -> tuple[object, ...]:
    """What the servers say who they are."""
    client = KafkaAdminClient(bootstrap_servers=at.kafka_bootstrap_servers)
    cluster = client.describe_cluster()["cluster_id"]
    client.close()
    with psycopg.connect(at.admin_dsn) as connection:
        row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    with redis.Redis.from_url(at.redis_url, decode_responses=True) as valkey:
        return cluster, row, valkey.info("server")["run_id"], at.api_url


def same_first(monkeypatch: pytest.MonkeyPatch, ports: dict[str, int]) -> None:
    """Let every stack choose these ports at first, as if they had been free at that moment."""
    choose = state.choose_port
    usual = {stack.USUAL_PORTS[name]: port for name, port in ports.items()}

    def chosen(remembered: int | None, wanted: int | None) -> int:
        return choose(remembered, None) if wanted is None else usual[wanted]

    monkeypatch.setattr(state, "choose_port", chosen)


def test_two_stacks_that_chose_the_same_ports_have_servers_of_their_own(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    same_first(monkeypatch, {name: state.choose_port(None, None) for name in stack.USUAL_PORTS})
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda folder: stack.up(folder, durable=False), folders)
    assert not set(identities(first)) & set(identities(second))
    for folder, found in zip(folders, (first, second), strict=True):
        known = state.load(folder)
        assert all(server.daemon.listens_on(known.ports[server.name]) for server in stack.servers(known))
        assert stack.endpoints(folder) == found


@pytest.mark.parametrize("kind", [Valkey, Httpbin])
def test_a_server_whose_port_was_taken_meanwhile_starts_on_another(
    kind: type[Valkey | Httpbin], tmp_path: Path
) -> None:
    known = state.StackState(tmp_path)
    server = kind(known)
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = known.ports[server.name] = foreign.getsockname()[1]
        try:
            stack._start(server, known, stack.unseen)
            assert known.ports[server.name] != taken
            assert server.daemon.listens_on(known.ports[server.name])
            assert state.load(tmp_path).ports == known.ports
        finally:
            server.daemon.stop()
