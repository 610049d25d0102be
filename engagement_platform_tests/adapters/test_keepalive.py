"""Connections of a run that waits are kept open by the kernel."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engagement_platform.adapters import keepalive
from engagement_platform.adapters.kafka.librdkafka.connection import options
from engagement_platform.adapters.kafka.topics import admin
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.settings import Settings


def sockets_to(port: int) -> Iterator[socket.socket]:
    """Return the sockets of this process that are connected to a port."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as each:
            if each.getpeername()[1:2] == (port,):
                yield each


def test_what_is_silent_for_minutes_is_kept_open(settings: Settings) -> None:
    kafka = int(settings.kafka.bootstrap_servers.rsplit(":", 1)[1])
    redis = int(settings.redis.url.get_secret_value().rsplit(":", 1)[1].split("/")[0])
    with admin(settings.kafka) as client, connect_redis(settings.redis) as cache:
        client.shown([settings.topics.events])
        cache.ping()
        for port in (kafka, redis):
            if port == kafka and settings.kafka.client == "librdkafka":
                continue  # see below
            idle = [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) for each in sockets_to(port)]
            alive = [each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in sockets_to(port)]
            assert idle
            assert set(idle) == {keepalive.IDLE_SECONDS}
            assert set(alive) == {1}


def test_librdkafka_closes_what_was_silent_for_longer_than_firewalls_remember(settings: Settings) -> None:
    """It cannot be told when the kernel is to ask; the next request opens a connection."""
    ours = settings.replace(kafka_client="librdkafka")
    port = int(ours.kafka.bootstrap_servers.rsplit(":", 1)[1])
    assert options(ours.kafka)["connections.max.idle.ms"] == 2_000 * keepalive.IDLE_SECONDS
    with admin(ours.kafka) as client:
        client.shown([settings.topics.events])
        assert {each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in sockets_to(port)} == {1}
