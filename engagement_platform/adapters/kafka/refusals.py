"""What to tell of a Kafka that does not answer, or that refuses until a person acts: a login, a right, a certificate.

`said` is the client's own text: the kind of the error and what it says.
"""

from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.settings import Kafka, variable


def server(kafka: Kafka) -> str:
    """Name the brokers as the middle of a sentence can."""
    return f"Kafka at {kafka.bootstrap_servers}"


def no_answer(kafka: Kafka, said: str) -> Unavailable:
    """Return what to tell of brokers that do not answer."""
    return Unavailable(
        f"{server(kafka)} does not answer ({said}).",
        f"Check that the brokers run and {kafka.variable('bootstrap_servers')} names them.",
        server=server(kafka),
    )


def login_refused(kafka: Kafka, said: str) -> Refused:
    """Return what to tell of a login that is refused."""
    return Refused(
        f"{server(kafka)} refuses the login ({said}).",
        f"Put {kafka.variable('sasl_username')}, {kafka.variable('sasl_password')} and"
        f" {kafka.variable('sasl_mechanism')} right, or let the brokers know this user.",
        server=server(kafka),
    )


def right_refused(kafka: Kafka, said: str, transactional_id: str = "") -> Refused:
    """Return what to tell of a right that is refused: that of a transactional id, or one of a topic or group."""
    of = f"transactional id {transactional_id}" if transactional_id else "topic, group"
    user = kafka.sasl_username or "the platform's user"
    return Refused(
        f"{server(kafka)} refuses a right ({said}).",
        f"Give {user} the ACLs of the {of} that docs/own-servers.md lists under Rights.",
        server=server(kafka),
    )


def tls_refused(kafka: Kafka, said: str) -> Refused:
    """Return what to tell of two sides that do not agree on TLS."""
    return Refused(
        f"{server(kafka)} and this machine do not agree on TLS ({said}).",
        f"Let {kafka.variable('ssl_cafile')} name the authority that signed the brokers' certificates,"
        f" {kafka.variable('bootstrap_servers')} the names that these carry, and"
        f" {kafka.variable('security_protocol')} what the brokers speak.",
        server=server(kafka),
    )


def missing_topic(kafka: Kafka, topic: str) -> Unavailable:
    """Return what to tell of a topic that is not there."""
    return Unavailable(
        f"{server(kafka)} has no topic {topic} that could be read.",
        f"The relay creates it when it starts; {variable('topic', kafka.stream)} names it.",
    )
