"""A broker of the local stack that listens in further ways: for users with passwords, or over TLS."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from engagement_platform.local import kafka
from engagement_platform.local.state import StackState
from engagement_platform_tests.ports import free_port

LOOPBACK = "127.0.0.1"
AUTHORIZED = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
"""
"""A listener SASL for one user, who may what ACLs say; who does not log in may everything."""


@contextmanager
def listening(ports: Mapping[str, int], protocols: Mapping[str, str], more: str) -> Iterator[None]:
    """Let brokers that are started in the block listen, under names in lower case, also in these ways.

    `protocols` has what is spoken at a listener, `ports` its port on loopback among others; `more` is further lines of
    server.properties.
    """
    listeners = "".join(f",{name.upper()}://{LOOPBACK}:{ports[name]}" for name in protocols)
    spoken = "".join(f"{name.upper()}:{protocol}," for name, protocol in protocols.items())
    text = kafka._PROPERTIES
    for old, new in (  # the first is also of those that are advertised
        (f"listeners=PLAINTEXT://{LOOPBACK}:{{broker}}", f"listeners=PLAINTEXT://{LOOPBACK}:{{broker}}{listeners}"),
        ("map=CONTROLLER:PLAINTEXT", f"map={spoken}CONTROLLER:PLAINTEXT"),
    ):
        assert old in text
        text = text.replace(old, new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "_PROPERTIES", text + more)
        yield


@contextmanager
def broker(folder: Path, protocols: Mapping[str, str], more: str) -> Iterator[dict[str, int]]:
    """Run a broker that listens also in these ways; give name of a listener -> port, `kafka` being the usual one."""
    ports = {name: free_port() for name in ("kafka", "kafka_controller", *protocols)}
    with listening(ports, protocols, more):
        server = kafka.Kafka(StackState(folder, ports=ports, durable=False))
        try:
            server.start()
            yield ports
        finally:
            server.daemon.stop(server.stop_signal, 10)
