"""Brings the schemas that a stream's processes use up to date: that of all streams, and the stream's own.

A stream's schema is made when that stream first starts. Migrations only add, so that processes of the version before
work beside those of this one. Alembic is imported only when there is something to do.
"""

import threading
from pathlib import Path

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import connect_platform, schemas_used, translated
from engagement_platform.adapters.platform.rights import HEAD, VERSION_TABLE, is_current, refusal
from engagement_platform.settings import Settings

__all__ = ["HEAD", "VERSION_TABLE", "ensure_schema", "execute", "schema_in_hand"]

_one_thread = threading.Lock()
"""Alembic keeps what it is at in a global; between processes, the database's lock does the same."""


def ensure_schema(settings: Settings) -> None:
    """Apply the migrations that are missing. Safe in any number of processes at once.

    Raises Unavailable; Refused, with the statements that grant it, where a right is missing.
    """
    with translated():
        with connect_platform(settings, "migrations") as connection:
            outdated = [schema for schema in schemas_used(settings) if not _is_up_to_date(connection, schema)]
        for schema in outdated:
            with _one_thread:
                _upgrade(settings, schema)


def _is_up_to_date(connection: psycopg.Connection, schema: str) -> bool:
    try:
        return is_current(connection, schema)
    except psycopg.errors.InsufficientPrivilege as error:
        raise refusal(connection, schema, error) from error


def _upgrade(settings: Settings, schema: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connect"] = lambda: _connect_for_one_transaction(settings)
    config.attributes["schema"] = schema
    try:
        command.upgrade(config, "head")
    except psycopg.errors.InsufficientPrivilege as error:
        with connect_platform(settings, "migrations") as connection:
            raise refusal(connection, schema, error) from error


def _connect_for_one_transaction(settings: Settings) -> psycopg.Connection:
    """Connect without autocommit: the lock that keeps other processes away lasts as long as the transaction."""
    connection = connect_platform(settings, "migrations")
    connection.autocommit = False
    return connection


def schema_in_hand() -> str:
    """Return the schema that is being brought up to date. For migrations."""
    from alembic import context  # noqa: PLC0415

    return str(context.config.attributes["schema"])


def execute(statement: str) -> None:
    """Execute a statement of a migration, in which `{schema}` stands for the schema in hand."""
    from alembic import op  # noqa: PLC0415

    op.execute(sql.filled(statement, {"schema": schema_in_hand()}))
