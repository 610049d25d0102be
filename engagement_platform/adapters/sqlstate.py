"""What a failure of PostgreSQL means: the server does not answer, it refuses, or something is not as it must be.

Decided by SQLSTATE, not by the server's text, which may be in any language. Only a failed connection has no SQLSTATE:
then it is looked for what servers say in English, and else the client is asked whether a server is there at all, which
it may be by then.
"""

from enum import Enum, auto

from psycopg import pq

from engagement_platform.domain.errors import Refused, Unavailable


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
_BETWEEN = ("starting up", "not yet accepting", "not accepting connections", "shutting down", "in recovery mode")
"""What a server says of itself that accepts nobody yet, or any more: a moment later it may, and be asked then."""
_ANOTHER_ROLE = ("read-only", "not read-only", "hot standby mode")
"""What the client says when `target_session_attrs` matches no host: a failover ends it."""
_SILENT = ("timeout expired", "silent")
_TLS = ("certificate", "SSL")
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
    """Return what to tell when a server refuses the login."""
    return Refused(
        f"{server} refuses the login: {one_line(error)}.",
        f"Put user, password, database and TLS options of {variable} right, or ask the server's administrator to let"
        " this user in (pg_hba.conf, CONNECT on the database).",
        server=in_sentence(server),
    )


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
