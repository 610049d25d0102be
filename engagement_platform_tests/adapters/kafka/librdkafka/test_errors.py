"""What an error of librdkafka means for the operator."""

import pytest
from confluent_kafka import KafkaError

from engagement_platform.adapters.kafka.librdkafka.errors import unavailable
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Kafka


def named(name: str, said: str = "") -> KafkaError:
    return KafkaError(getattr(KafkaError, name), said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (named("_SSL", "SSL handshake failed: certificate verify failed"), "TLS"),
        (named("_SSL", "SSL handshake failed: wrong version number"), "TLS"),
        (named("CLUSTER_AUTHORIZATION_FAILED"), "refuses a right (ClusterAuthorizationFailedError"),
        (named("SECURITY_DISABLED"), "refuses the login"),
        (named("_AUTHENTICATION", "SASL authentication error"), "refuses the login"),
    ],
)
def test_refusals(error: KafkaError, said: str) -> None:
    told = unavailable(Kafka(), error)
    assert isinstance(told, Refused)
    assert said in str(told)


@pytest.mark.parametrize(
    "error",
    [
        named("_SSL", "SSL handshake failed: Disconnected"),
        named("_TRANSPORT", "Connect to ipv4#127.0.0.1:1 failed: Connection refused"),
        named("_TIMED_OUT"),
    ],
)
def test_a_connection_that_broke_is_no_refusal(error: KafkaError) -> None:
    assert not isinstance(unavailable(Kafka(), error), Refused)
