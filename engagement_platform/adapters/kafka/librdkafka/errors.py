"""What an error of librdkafka means for the operator. Errors have names: those of the library itself begin with _."""

from confluent_kafka import KafkaError, KafkaException

from engagement_platform.adapters.kafka.refusals import login_refused, no_answer, right_refused, tls_refused
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka

_LOGIN = frozenset(
    {
        "_AUTHENTICATION",
        "SASL_AUTHENTICATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "ILLEGAL_SASL_STATE",
        "SECURITY_DISABLED",
    }
)
_TRANSACTION = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
FENCED = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"})
"""A later producer with the same transactional id has begun."""


def error_of(raised: KafkaException) -> KafkaError:
    """Return the error that an exception carries."""
    error: KafkaError = raised.args[0]
    return error


def said(error: KafkaError) -> str:
    """Return the kind of an error and what it says, as an exception would be: `TopicAuthorizationFailedError: …`."""
    kind = "".join(part.capitalize() for part in error.name().split("_"))
    return f"{kind}Error: {error.str().rstrip('.')}"


def refusal(kafka: Kafka, error: KafkaError, transactional_id: str = "") -> Refused | None:
    """Return what to tell the operator; None for an error that is no refusal.

    `transactional_id` is that of the producer, where it is one's error.
    """
    name = error.name()
    if name in _LOGIN:
        return login_refused(kafka, said(error))
    if name.endswith("AUTHORIZATION_FAILED"):
        return right_refused(kafka, said(error), transactional_id if name == _TRANSACTION else "")
    return tls_refused(kafka, said(error)) if _is_tls(error) else None


def _is_tls(error: KafkaError) -> bool:
    """Say whether the two sides did not agree; a connection that broke on the way is none of it."""
    return error.name() == "_SSL" and not any(broken in error.str() for broken in ("EOF", "Disconnected"))


def unavailable(kafka: Kafka, error: KafkaError, transactional_id: str = "") -> Unavailable:
    """Return what to tell the operator when Kafka failed: Refused where it refuses something."""
    return refusal(kafka, error, transactional_id) or no_answer(kafka, said(error))
