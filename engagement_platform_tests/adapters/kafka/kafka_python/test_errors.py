"""What an error of kafka-python means for the operator."""

import pytest
from kafka import errors

from engagement_platform.adapters.kafka.kafka_python.errors import unavailable
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Kafka


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "TLS"),
        (errors.KafkaConnectionError("Handshake failed: [SSL: WRONG_VERSION_NUMBER] wrong version"), "TLS"),
        (errors.ClusterAuthorizationFailedError(), "refuses a right"),
        (errors.SecurityDisabledError(), "refuses the login"),
    ],
)
def test_other_refusals(error: errors.KafkaError, said: str) -> None:
    told = unavailable(Kafka(), error)
    assert isinstance(told, Refused)
    assert said in str(told)


@pytest.mark.parametrize(
    "text", ["[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", "Connection refused", "timed out"]
)
def test_a_connection_that_broke_is_no_refusal(text: str) -> None:
    told = unavailable(Kafka(), errors.KafkaConnectionError(text))
    assert not isinstance(told, Refused)
