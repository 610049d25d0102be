"""How every client of kafka-python connects."""

import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from kafka import KafkaProducer
from kafka.errors import KafkaError

from engagement_platform.adapters import keepalive, tls
from engagement_platform.adapters.kafka import connection
from engagement_platform.adapters.kafka.kafka_python.errors import refusal, unavailable
from engagement_platform.adapters.kafka.kafka_python.private import look_up_only, make_network, note_failures
from engagement_platform.adapters.kafka.refusals import explained
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Kafka

# The loops say once that Kafka went and once that it came back; the client would say it for every socket.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

Client = TypeVar("Client")
"""A KafkaConsumer, KafkaProducer or KafkaAdminClient."""


def options(kafka: Kafka) -> dict[str, Any]:
    """Return the keyword arguments that producers, consumers and admin clients share.

    Raises SettingsError for a file of TLS that cannot be used.
    """
    password = kafka.sasl_password
    chosen = {
        "bootstrap_servers": kafka.bootstrap_servers.split(","),
        "client_id": "engagement-platform",
        "security_protocol": kafka.security_protocol,
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
        "ssl_context": tls.context(kafka) if "SSL" in kafka.security_protocol else None,
        "bootstrap_timeout_ms": connection.BOOTSTRAP_MS,
        "reconnect_backoff_ms": 20,
        "reconnect_backoff_max_ms": 500,
        "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *keepalive.SOCKET],
    }
    return {name: value for name, value in chosen.items() if value is not None}


def connect(kind: Callable[..., Client], kafka: Kafka, **chosen: Any) -> Client:
    """Return a connected client of a kind; `chosen` is what it takes beside `options`.

    Raises Refused, and Unavailable, also when the process may open no more files; nothing of the attempt is left then.
    The client never has Kafka create a topic, which would have the broker's settings, not ours.
    """
    refused: deque[Refused] = deque(maxlen=1)

    def note(error: BaseException) -> None:
        if told := refusal(kafka, error):
            refused.append(told)

    with ExitStack() as undo:

        def open_network(**configs: Any) -> Any:
            network = make_network(configs)
            # A constructor that raises closes nothing: a thread and four file descriptors would stay.
            undo.callback(network.close)
            look_up_only(network)
            note_failures(network, note)
            return network

        try:
            client = kind(**options(kafka), **chosen, kafka_client=open_network)
        except (KafkaError, OSError) as error:
            raise (refused[0] if refused else explained(kafka, unavailable(kafka, error))) from error
        undo.pop_all()
        return client


def connect_producer(kafka: Kafka, largest_message: int, **chosen: Any) -> KafkaProducer:
    """Return a producer that confirms what all replicas in sync have. `chosen` and errors are those of `connect`."""
    return connect(
        KafkaProducer,
        kafka,
        acks="all",
        metrics_enabled=False,
        batch_size=262_144,
        max_request_size=largest_message + 262_144,
        max_block_ms=connection.MAX_BLOCK_MS,
        request_timeout_ms=connection.MAX_BLOCK_MS,
        delivery_timeout_ms=2 * connection.MAX_BLOCK_MS,
        **chosen,
    )
