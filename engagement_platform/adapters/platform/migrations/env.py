"""What alembic runs: all missing migrations of one schema in one transaction, one process at a time."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from engagement_platform.adapters.platform.migrate import VERSION_TABLE, schema_in_hand

schema = schema_in_hand()

# The right to create a schema is asked for even where it is there, so it is looked for first.
_CREATE = f"""
DO $$BEGIN
    IF to_regnamespace('{schema}') IS NULL THEN
        CREATE SCHEMA {schema};
    END IF;
END$$
"""
_RENAME = f"""
DO $$BEGIN
    IF to_regclass('{schema}.{VERSION_TABLE}') IS NULL AND to_regclass('{schema}.alembic_version') IS NOT NULL THEN
        ALTER TABLE {schema}.alembic_version RENAME TO {VERSION_TABLE};
    END IF;
END$$
"""
"""The table had alembic's usual name at first."""

engine = create_engine("postgresql+psycopg://", creator=context.config.attributes["connect"], poolclass=NullPool)

try:
    with engine.connect() as connection, connection.begin():
        # The statement timeout does not count here: another process may be migrating.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock(hashtextextended('{schema}.migrations', 0))"))
        connection.execute(text(_CREATE))
        connection.execute(text(_RENAME))
        context.configure(connection=connection, version_table=VERSION_TABLE, version_table_schema=schema)
        context.run_migrations()
except DBAPIError as error:
    raise error.orig or error from error
