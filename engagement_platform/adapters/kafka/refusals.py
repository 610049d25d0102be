"""What to tell of a Kafka that does not answer, or that refuses until a person acts: a login, a right, a certificate.

`said` is the client's own text: the kind of the error and what it says.
"""

import ssl

from engagement_platform.adapters import tls
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.domain.tls import Where, remedy
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
    where = Where(
        "the brokers",
        kafka.variable("ssl_cafile"),
        f"{kafka.variable('bootstrap_servers')} (and the brokers' advertised.listeners)",
        f"{kafka.variable('ssl_certfile')} and {kafka.variable('ssl_keyfile')}",
        kafka.variable("security_protocol"),
    )
    return Refused(f"{server(kafka)} and this machine {_DISAGREE} ({said}).", remedy(said, where), server=server(kafka))


def login_missing(kafka: Kafka) -> Refused:
    """Return what to tell of brokers that want a login, where the settings have none."""
    with_login = "SASL_SSL" if "SSL" in kafka.security_protocol else "SASL_PLAINTEXT"
    return Refused(
        f"{server(kafka)} wants a login, and the platform has none to give.",
        f"Set {kafka.variable('security_protocol')} to {with_login}, and {kafka.variable('sasl_mechanism')},"
        f" {kafka.variable('sasl_username')} and {kafka.variable('sasl_password')}; or let"
        f" {kafka.variable('bootstrap_servers')} name a listener without one.",
        server=server(kafka),
    )


def explained(kafka: Kafka, told: Unavailable) -> Unavailable:
    """Return what to tell of a connection that failed, with what a look at the first broker shows.

    A client sees that a connection ends, as where one side speaks TLS and the other not, or a certificate or a login is
    missing; and a broker that shuts down ends it, too. Raises SettingsError for a file of TLS that cannot be used.
    """
    host, _, port = kafka.bootstrap_servers.split(",")[0].rpartition(":")
    if (isinstance(told, Refused) and _DISAGREE not in told.what) or not port.isdecimal():
        return told
    at, context = (host.strip("[]"), int(port)), None
    if "SSL" not in kafka.security_protocol:
        said = "the broker speaks TLS there" if tls.is_spoken(*at) else None
    elif tls.answers_in_plain(*at, _WHICH_VERSIONS):
        said = "the broker speaks no TLS there"
    else:
        context = tls.context(kafka)
        said = tls.objection(context, *at)
    if said is not None:
        return tls_refused(kafka, said)
    return login_missing(kafka) if "SASL" not in kafka.security_protocol and _wants_login(*at, context) else told


def _wants_login(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Say whether a listener, over TLS where there is a context, knows logins. One that does not says so when asked.

    https://kafka.apache.org/protocol.html#The_Messages_SaslHandshake
    """
    said = tls.answer(host, port, _WHICH_MECHANISM, _UP_TO_ERROR, context)
    return len(said) == _UP_TO_ERROR and int.from_bytes(said[-2:], "big") != _ILLEGAL_SASL_STATE


_DISAGREE = "do not agree on TLS"
_WHICH_VERSIONS = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
"""ApiVersions, which a broker answers before any login."""

_WHICH_MECHANISM = b"\x00\x00\x00\x11\x00\x11\x00\x01\x00\x00\x00\x01\xff\xff\x00\x05PLAIN"
"""SaslHandshake."""
_UP_TO_ERROR = 10
"""Bytes of its answer: length, correlation id, and the error's code."""
_ILLEGAL_SASL_STATE = 34


def missing_topic(kafka: Kafka, topic: str) -> Unavailable:
    """Return what to tell of a topic that is not there."""
    return Unavailable(
        f"{server(kafka)} has no topic {topic} that could be read.",
        f"The relay creates it when it starts; {variable('topic', kafka.stream)} names it.",
    )
