"""The servers of the local stack, within reach of a cluster's pods: beside the cluster, as managed ones would be."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis

from engagement_platform.local import kafka, postgres, stack, state
from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform_tests.kubernetes.cluster import ADDRESS
from engagement_platform_tests.streaming import wait_for

_LOOPBACK = "127.0.0.1"
PLATFORM_ADDRESS = "10.244.255.3"
"""Another address of the same PostgreSQL, for the platform's own database: it can be cut off alone."""
_KAFKA_SECONDS = 300
"""For so long the broker may take to come up beside a cluster that has just come up itself."""
RECEIVER_PORT, CONTROL_PORT = 18081, 18082


@dataclass(frozen=True)
class Servers:
    """Addresses as pods reach them, which this process does too."""

    source_dsn: str
    writer_dsn: str
    platform_dsn: str
    kafka: str
    redis_url: str
    api_url: str = f"http://{ADDRESS}:{RECEIVER_PORT}/events"


@contextmanager
def up(folder: Path) -> Iterator[Servers]:
    """Start the servers in the network of the first node, in which this process is; end them afterwards."""
    listen = f"PLAINTEXT://{_LOOPBACK}:{{broker}}"
    kafka._PROPERTIES = kafka._PROPERTIES.replace(listen, listen.replace(_LOOPBACK, ADDRESS))
    kafka.Kafka.bootstrap_servers = property(lambda self: f"{ADDRESS}:{self._port}")  # type: ignore[assignment,method-assign]
    kafka.Kafka._patience = _KAFKA_SECONDS
    subprocess.run(["ip", "addr", "add", f"{PLATFORM_ADDRESS}/24", "dev", "n1"], check=True)
    try:
        addresses = stack.up(folder, durable=False)
        _open_postgres(folder, addresses.admin_dsn)
        with redis.Redis.from_url(addresses.redis_url) as client:
            client.config_set("bind", f"{_LOOPBACK} {ADDRESS}")
        fill_catalogue(addresses.writer_dsn, 7)
        dsns = (addresses.source_dsn, addresses.writer_dsn, addresses.platform_dsn)
        source, writer, platform = (
            dsn.replace(_LOOPBACK, address)
            for dsn, address in zip(dsns, (ADDRESS, ADDRESS, PLATFORM_ADDRESS), strict=True)
        )
        with _receiver(folder):
            yield Servers(
                source, writer, platform, addresses.kafka_bootstrap_servers,
                addresses.redis_url.replace(_LOOPBACK, ADDRESS),
            )  # fmt: skip
    finally:
        stack.reset(folder)


def _open_postgres(folder: Path, admin_dsn: str) -> None:
    """Let PostgreSQL listen to pods and know them by password: on loopback alone it would not hear them."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        with Path(row[0]).open("a") as file:
            file.write("host all all all scram-sha-256\n")
    server = postgres.Postgres(state.load(folder))
    process = server.daemon.process()
    assert process is not None
    command = ["*" if word == _LOOPBACK else word for word in process.cmdline()]
    user, where = process.uids().real, Path(process.cwd())
    server.daemon.stop(server.stop_signal)
    server.daemon.spawn(command, folder=where, user=user)
    wait_for(server._answers, "PostgreSQL to answer")


@contextmanager
def _receiver(folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "engagement_platform.local.receiver", "--host", ADDRESS]
    with (folder / "receiver.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(RECEIVER_PORT), "--control-port", str(CONTROL_PORT)], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
