"""What a failure of PostgreSQL means: the server does not answer, it refuses, or something is not as it must be.

Decided by SQLSTATE, not by the server's text, which may be in any language. Only a failed connection has no SQLSTATE:
then it is looked for what servers say in English, and else the client is asked whether a server is there at all, which
it may be by then.
"""

from enum import Enum, auto

from psycopg import pq

from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform.domain.tls import Where, remedy


class Meaning(Enum):
    """What a failure says about the server."""

    AWAY = auto()
    """It does not answer, or has no room for another session."""
    BUSY = auto()
    """A statement waited for too long: for a lock, or for its own end."""
    REFUSED = auto()
    """It answers, and refuses the login or a right."""
    MISMATCHED = auto()
    """A table, column or type is not the one that the statement needs."""
    DATA = auto()
    """A value cannot be converted."""
    ERROR = auto()
    """Anything else, such as a deadlock or an internal error."""


_EXACT = {
    "57014": Meaning.BUSY,  # query_canceled
    "55P03": Meaning.BUSY,  # lock_not_available
    "25P03": Meaning.AWAY,  # idle_in_transaction_session_timeout
    "25P04": Meaning.AWAY,  # transaction_timeout
    "42501": Meaning.REFUSED,  # insufficient_privilege
    "3D000": Meaning.REFUSED,  # invalid_catalog_name
}
_BY_CLASS = {
    "08": Meaning.AWAY,  # connection exception
    "53": Meaning.AWAY,  # insufficient resources
    "57": Meaning.AWAY,  # operator intervention
    "28": Meaning.REFUSED,  # invalid authorization
    "42": Meaning.MISMATCHED,  # syntax error or access rule violation
    "3F": Meaning.MISMATCHED,  # invalid schema name
    "22": Meaning.DATA,
}
_NO_ROOM = ("too many clients", "too many connections", "remaining connection slots")
_BETWEEN = (
    "starting up",
    "not yet accepting",
    "not accepting connections",
    "not currently accepting connections",
    "shutting down",
    "in recovery mode",
)
"""What a server says of itself, or of a database, that accepts nobody yet or any more: a moment later it may."""
_ANOTHER_ROLE = ("read-only", "not read-only", "hot standby mode")
"""What the client says when `target_session_attrs` matches no host: a failover ends it."""
_SILENT = ("timeout expired", "silent")
_TLS = ("certificate", "SSL", "no encryption")
_ONLY_OVER_TLS = ("no encryption", "SSL off")
_UNCERTAIN = ("SSL SYSCALL", "SSL connection has been closed")
"""A connection that broke, whatever was spoken on it."""


def meaning(sqlstate: str | None) -> Meaning:
    """Return what a failed statement means. Without SQLSTATE the connection broke."""
    if not sqlstate:
        return Meaning.AWAY
    return _EXACT.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], Meaning.ERROR)


def meaning_of_connecting(conninfo: str, said: str) -> Meaning:
    """Return what a failed attempt to connect means; `said` is its text. Asks the server once more."""
    if any(text in said for text in (*_NO_ROOM, *_BETWEEN, *_ANOTHER_ROLE, *_UNCERTAIN, *_SILENT)):
        return Meaning.AWAY
    if any(text in said for text in _TLS):
        return Meaning.REFUSED
    # A server that is starting or shutting down answers REJECT; OK is one that has asked for a login, or refused it.
    answers = pq.PGconn.ping(conninfo.encode()) == pq.Ping.OK
    return Meaning.REFUSED if answers else Meaning.AWAY


def one_line(error: Exception) -> str:
    """Return what a client said, without line breaks."""
    return " ".join(str(error).split())


def away(server: str, variable: str, error: Exception) -> Unavailable:
    """Return what to tell when a server does not answer; `server` begins the sentence."""
    return Unavailable(
        f"{server} does not answer ({type(error).__name__}: {one_line(error)}).",
        f"Check that it runs and {variable} is right.",
        server=in_sentence(server),
    )


def login_refused(server: str, variable: str, error: Exception) -> Refused:
    """Return what to tell when a server refuses the login, or does not agree on TLS."""
    said = one_line(error)
    if is_about_tls(said):
        where = Where(
            in_sentence(server),
            f"sslrootcert of {variable}",
            f"host of {variable}",
            f"sslcert and sslkey of {variable}",
            f"sslmode of {variable}",
        )
        what, todo = f"{server} and this machine do not agree on TLS: {said}.", remedy(said, where)
    else:
        what = f"{server} refuses the login: {said}."
        todo = (
            f"Put user, password and database of {variable} right, or ask the server's administrator to let this user"
            " in (pg_hba.conf, CONNECT on the database)."
        )
    return Refused(what, todo, server=in_sentence(server))


def is_about_tls(said: str) -> bool:
    """Say whether a client's words are about TLS: not where the server lets nobody in over it, but without it."""
    lets_nobody_in = "pg_hba.conf" in said and not any(text in said for text in _ONLY_OVER_TLS)
    return any(text in said for text in _TLS) and not lets_nobody_in


def in_error(server: str, error: Exception) -> Unavailable:
    """Return what to tell of an error that is neither an outage nor a refusal; it is tried again."""
    return Unavailable(
        f"{server} reports an error ({type(error).__name__}: {one_line(error)}).",
        "If it stays, show its text to the server's administrator.",
        server=in_sentence(server),
    )


def in_sentence(server: str) -> str:
    """Return a server's name as the middle of a sentence has it."""
    return server[0].lower() + server[1:]
