"""The choice of the Kafka client, `ENGAGEMENT_KAFKA_CLIENT`: the one place that knows which there are."""

from engagement_platform.adapters.kafka.port import Client
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Kafka


def client_of(kafka: Kafka) -> Client:
    """Return the client that the settings name. Raises SettingsError where its package is not installed."""
    return load_client(kafka.client, kafka.variable("client"))


def load_client(name: str, variable: str) -> Client:
    """Import a client by its name, which the variable has; no other one is loaded. Raises SettingsError."""
    if name == "librdkafka":
        try:
            from engagement_platform.adapters.kafka.librdkafka import client as librdkafka  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                f"{variable} is {name}, and its package confluent-kafka is not installed ({error}).",
                f"Install it with: pip install 'engagement-platform[fast]'; or leave {variable} out, for kafka-python.",
            ) from error
        return librdkafka
    from engagement_platform.adapters.kafka.kafka_python import client as kafka_python  # noqa: PLC0415

    return kafka_python
