"""Brings the schemas that a stream's processes use up to date: that of all streams, and the stream's own.

A stream's schema is made when that stream first starts. Migrations only add, so that processes of the version before
work beside those of this one. Each is a file in `migrations`; all that are missing are one transaction.
"""

from importlib import resources

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect_platform, schemas_used, translated
from engagement_platform.adapters.platform.rights import HEAD, is_current, refusal
from engagement_platform.settings import Settings

_SQL = sql.load(__package__, "migrate.sql")


def ensure_schema(settings: Settings) -> None:
    """Apply the migrations that are missing. Safe in any number of processes at once.

    Raises Unavailable; Refused, with the statements that grant it, where a right is missing.
    """
    with translated(), connect_platform(settings, "migrations") as connection:
        for schema in schemas_used(settings):
            try:
                if not is_current(connection, schema):
                    _upgrade(connection, schema)
            except psycopg.errors.InsufficientPrivilege as error:
                raise refusal(connection, schema, error) from error


def _upgrade(connection: psycopg.Connection, schema: str) -> None:
    def execute(statement: str) -> psycopg.Cursor:
        return connection.execute(sql.filled(statement, {"schema": schema, "version": HEAD}).encode())

    folder = resources.files(__package__).joinpath("migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    with connection.transaction():
        execute(_SQL["lock"])
        execute(_SQL["prepare"])
        version = execute(_SQL["version"]).fetchone()
        for file in files:
            if file.name[:4] > (version[0] if version else ""):
                execute(file.read_text(encoding="utf-8"))
        execute(_SQL["note"])
