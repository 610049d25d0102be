"""What the forkserver of a run imports once, so that each op starts within half a second.

Nothing here may open a client: every op would share its socket.
"""

import gc

import alembic.command
import dagster_postgres
import psycopg
import psycopg.types.json
import rich.console
import rich.traceback
import sqlalchemy.dialects.postgresql.psycopg2

import engagement_platform.definitions

__all__ = ["alembic", "dagster_postgres", "engagement_platform", "psycopg", "rich", "sqlalchemy"]

# Forked processes share these objects with the forkserver for as long as their collector leaves them alone.
gc.collect()
gc.freeze()
