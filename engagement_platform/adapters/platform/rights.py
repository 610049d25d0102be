"""What the platform's role may do in a schema of its database, and what has to be granted to it."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect_platform, schemas_used, translated
from engagement_platform.adapters.sqlstate import one_line
from engagement_platform.domain.errors import Refused
from engagement_platform.settings import Settings

HEAD = "0018"
"""The newest migration in `migrations`; a test holds it against the folder."""

_SQL = sql.load(__package__, "rights.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a role may do in one schema. Names are as SQL writes them."""

    schema: str
    role: str
    database: str
    is_there: bool
    may_create_schema: bool
    may_use: bool
    may_create_tables: bool
    foreign_ones: list[str]
    """The tables and sequences of other owners, which the role cannot change."""
    closed_ones: list[str]
    """Those that the role may not use."""
    is_current: bool | None
    """Whether the schema has all migrations; None where the role may not see which it has."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The statements with which somebody grants what is missing; none where nothing is."""
        if not self.is_there:
            return () if self.may_create_schema else (f"CREATE SCHEMA {self.schema} AUTHORIZATION {self.role}",)
        if self.is_current or (self.is_current is None and self.closed_ones):
            return tuple(self._to_use())
        granted = () if self.may_create_tables else (f"GRANT USAGE, CREATE ON SCHEMA {self.schema} TO {self.role}",)
        return *granted, *(f"ALTER TABLE {self.schema}.{name} OWNER TO {self.role}" for name in self.foreign_ones)

    def _to_use(self) -> list[str]:
        statements = [] if self.may_use else [f"GRANT USAGE ON SCHEMA {self.schema} TO {self.role}"]
        if self.closed_ones:
            statements += [
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {self.schema} TO {self.role}",
                f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {self.schema} TO {self.role}",
            ]
        return statements


def read_rights(settings: Settings) -> list[Rights]:
    """Return what the role may do in each schema that the stream uses. Raises Refused, Unavailable."""
    with translated(), connect_platform(settings, "doctor") as connection:
        return [_rights_in(connection, schema) for schema in schemas_used(settings)]


def is_current(connection: psycopg.Connection, schema: str) -> bool:
    """Say whether a schema has all migrations; one of a later version of the platform has.

    Raises psycopg's InsufficientPrivilege.
    """
    try:
        row = connection.execute(sql.filled(_SQL["version"], {"schema": schema}).encode()).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False
    return row is not None and str(row[0]) >= HEAD


def refusal(connection: psycopg.Connection, schema: str, error: psycopg.Error) -> Refused:
    """Return what to tell of a migration that the database refuses, with what has to be granted."""
    rights = _rights_in(connection, schema)
    statements = "; ".join(rights.missing)
    asked = f"et an administrator run, in the database {rights.database}: {statements}"
    by_owner = rights.foreign_ones and not rights.is_current
    return Refused(
        f"The platform database refuses a right in the schema {schema}: {one_line(error)}.",
        (f"As the role that owns its tables, run engagement-platform migrate; or l{asked}" if by_owner else f"L{asked}")
        if statements
        else "Grant it to the role of ENGAGEMENT_PLATFORM_DSN.",
        server="the platform database",
    )


def _rights_in(connection: psycopg.Connection, schema: str) -> Rights:
    try:
        current: bool | None = is_current(connection, schema)
    except psycopg.errors.InsufficientPrivilege:
        current = None
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["rights"], {"schema": schema}).fetchone()
    return Rights(schema=schema, is_current=current, **(row or {}))
