"""How every Kafka client of the platform connects."""

import logging
from typing import Any

from kafka.errors import KafkaError

from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

# The loops say once that Kafka went and once that it came back; the client would say it for every socket.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

MAX_BLOCK_MS = 10_000


def options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments that producers, consumers and admin clients share."""
    password = settings.kafka_sasl_password
    chosen = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "client_id": "engagement-platform",
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
        "ssl_cafile": str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
        "bootstrap_timeout_ms": 5_000,
        "reconnect_backoff_ms": 20,
        "reconnect_backoff_max_ms": 500,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def unavailable(settings: Settings, error: KafkaError) -> Unavailable:
    """Return what to tell the operator when Kafka failed."""
    return Unavailable(
        f"Kafka at {settings.kafka_bootstrap_servers} does not answer ({type(error).__name__}: {error}).",
        "Check that the brokers run and ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS names them.",
    )
