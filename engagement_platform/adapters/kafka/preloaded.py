"""Imports the Kafka client that the environment names: in a forkserver, so that no fork has to."""

from contextlib import suppress

from engagement_platform.adapters.kafka.client import load_client
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import kafka_client, variable

with suppress(SettingsError):  # whoever opens the client says it
    load_client(kafka_client(), variable("kafka_client"))
