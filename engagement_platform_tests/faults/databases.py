"""Takes the platform's database away, while its server and all other databases stay."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings


@contextmanager
def shut(settings: Settings, stack: Endpoints) -> Iterator[None]:
    """Let nobody into the platform's database while the block runs; who is in it is thrown out."""
    name = urlsplit(settings.platform.dsn.get_secret_value()).path[1:]
    allowing = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
        admin.execute(allowing.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            admin.execute(allowing.format(sql.Identifier(name), sql.SQL("true")))
