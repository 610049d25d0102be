"""What an error of kafka-python means for the operator."""

from kafka import errors

from engagement_platform.adapters.kafka.refusals import login_refused, no_answer, right_refused, tls_refused
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka

_LOGIN = (
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabledError,
)
_TRANSACTION = (errors.TransactionalIdAuthorizationFailedError,)


def refusal(kafka: Kafka, error: BaseException, transactional_id: str = "") -> Refused | None:
    """Return what to tell the operator; None for an error that is no refusal.

    `transactional_id` is that of the producer, where it is one's error.
    """
    said = f"{type(error).__name__}: {str(error).rstrip('.')}"
    if isinstance(error, _LOGIN):
        return login_refused(kafka, said)
    if isinstance(error, errors.AuthorizationError) or "AuthorizationFailedError" in str(error):
        return right_refused(kafka, said, transactional_id if isinstance(error, _TRANSACTION) else "")
    return tls_refused(kafka, said) if _is_tls(str(error)) else None


def _is_tls(said: str) -> bool:
    """Say whether the two sides did not agree; a connection that broke on the way is none of it."""
    return "[SSL:" in said and "EOF" not in said


def unavailable(kafka: Kafka, error: BaseException) -> Unavailable:
    """Return what to tell the operator when Kafka failed: Refused where it refuses something."""
    return refusal(kafka, error) or no_answer(kafka, f"{type(error).__name__}: {error}")
