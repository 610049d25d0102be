"""What Kafka refuses until a person acts: a login, a right, a certificate."""

from kafka import errors

from engagement_platform.domain.errors import Refused
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
    server = f"Kafka at {kafka.bootstrap_servers}"
    if isinstance(error, _LOGIN):
        return Refused(
            f"{server} refuses the login ({said}).",
            f"Put {kafka.variable('sasl_username')}, {kafka.variable('sasl_password')} and"
            f" {kafka.variable('sasl_mechanism')} right, or let the brokers know this user.",
            server=server,
        )
    if isinstance(error, errors.AuthorizationError) or "AuthorizationFailedError" in str(error):
        of = f"transactional id {transactional_id}" if isinstance(error, _TRANSACTION) else "topic, group"
        user = kafka.sasl_username or "the platform's user"
        return Refused(
            f"{server} refuses a right ({said}).",
            f"Give {user} the ACLs of the {of} that docs/own-servers.md lists under Rights.",
            server=server,
        )
    if _is_tls(str(error)):
        return Refused(
            f"{server} and this machine do not agree on TLS ({said}).",
            f"Let {kafka.variable('ssl_cafile')} name the authority that signed the brokers' certificates,"
            f" {kafka.variable('bootstrap_servers')} the names that these carry, and"
            f" {kafka.variable('security_protocol')} what the brokers speak.",
            server=server,
        )
    return None


def _is_tls(said: str) -> bool:
    """Say whether the two sides did not agree; a connection that broke on the way is none of it."""
    return "[SSL:" in said and "EOF" not in said
