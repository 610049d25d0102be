import pytest
from kafka import KafkaProducer

from engagement_platform.adapters.kafka.kafka_python.connection import connect
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.kafka.test_connection import TIMES, nothing_left, nowhere

__all__ = ["nowhere"]


@pytest.fixture
def client() -> str:
    return "kafka-python"


def test_an_error_of_the_program_is_not_taken_for_an_outage(nowhere: Settings) -> None:
    with nothing_left():
        for _ in range(TIMES):
            with pytest.raises(ValueError, match="codec"):
                connect(KafkaProducer, nowhere.kafka, api_version=(4, 0), compression_type="none such")
