"""What the platform's role may do in its database."""

from dataclasses import dataclass

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect_platform, translated
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "rights.sql")


@dataclass(frozen=True, slots=True)
class Rights:
    """A role, its database, and whether it may make the platform's schema there, or has it already."""

    role: str
    database: str
    may_create: bool


def read_rights(settings: Settings) -> Rights:
    """Return what the role may do. Raises Refused, Unavailable."""
    with translated(), connect_platform(settings, "doctor") as connection:
        row = connection.execute(_SQL["may_create"]).fetchone()
        return Rights(connection.info.user, connection.info.dbname, row is not None and bool(row[0]))
