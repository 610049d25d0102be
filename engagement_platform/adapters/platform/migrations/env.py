"""What alembic runs: all missing migrations in one transaction, one process at a time."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from engagement_platform.adapters.platform.migrate import SCHEMA

engine = create_engine("postgresql+psycopg://", creator=context.config.attributes["connect"], poolclass=NullPool)

try:
    with engine.connect() as connection, connection.begin():
        # The statement timeout does not count here: another process may be migrating.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock(hashtextextended('{SCHEMA}.migrations', 0))"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        context.configure(connection=connection, version_table_schema=SCHEMA)
        context.run_migrations()
except DBAPIError as error:
    raise error.orig or error from error
