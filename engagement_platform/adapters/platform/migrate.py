"""Brings the schema `engagement_platform` up to date.

Alembic is imported only when there is something to do.
"""

import threading
from pathlib import Path

import psycopg

from engagement_platform.adapters.platform.connection import connect_platform, translated
from engagement_platform.settings import Settings

SCHEMA = "engagement_platform"
VERSION_TABLE = "schema_version"
"""Not alembic's usual name: Dagster keeps its own version under that in the same database, and where the role has the
name of this schema, a search for the one would find the other.
"""
HEAD = "0007"
"""The newest migration in `migrations/versions`; a test holds it against the folder."""


_one_thread = threading.Lock()
"""Alembic keeps what it is at in a global; between processes, the database's lock does the same."""


def ensure_schema(settings: Settings) -> None:
    """Apply the migrations that are missing. Safe in any number of processes at once. Raises Unavailable."""
    with translated():
        with connect_platform(settings, "migrations") as connection:
            if _version(connection) == HEAD:
                return
        with _one_thread:
            _upgrade(settings)


def _version(connection: psycopg.Connection) -> str | None:
    try:
        row = connection.execute(f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}").fetchone()  # noqa: S608
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return None if row is None else str(row[0])


def _upgrade(settings: Settings) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connect"] = lambda: _connect_for_one_transaction(settings)
    command.upgrade(config, "head")


def _connect_for_one_transaction(settings: Settings) -> psycopg.Connection:
    """Connect without autocommit: the lock that keeps other processes away lasts as long as the transaction."""
    connection = connect_platform(settings, "migrations")
    connection.autocommit = False
    return connection
