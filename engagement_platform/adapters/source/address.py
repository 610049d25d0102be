"""What of the source's address may be shown."""

from typing import NamedTuple

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict


class Address(NamedTuple):
    """Host, port and database; empty where the address does not say it."""

    host: str
    port: str
    database: str


def address_of(dsn: str) -> Address:
    """Return what a DSN says of the server, and nothing of who logs in there; all is empty where it cannot be read."""
    try:
        told = conninfo_to_dict(dsn)
    except (Error, UnicodeError):
        return Address("", "", "")
    names = (told.get(name) or "" for name in ("host", "port", "dbname"))
    return Address(*map(str, names))
