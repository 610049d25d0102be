"""What a client of Kafka has to keep: each test of this folder that asks for settings runs with each client."""

import pytest

from engagement_platform.settings import Settings

CLIENTS = ("kafka-python", "librdkafka")


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """The name of a client."""
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, client: str) -> Settings:
    return settings.replace(kafka_client=client)
