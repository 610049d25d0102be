"""What tests of alerts share: a database whose watch is older than it is."""

from typing import Any

import psycopg

from engagement_platform.settings import Settings

_OLDER = """
UPDATE engagement_platform.location_watch
   SET looked_at = looked_at - {seconds},
       memories = (SELECT coalesce(jsonb_agg(jsonb_set(one, '{{changed_at}}',
                                                       to_jsonb((one->>'changed_at')::float - {seconds}))), '[]')
                     FROM jsonb_array_elements(memories) AS one)
"""


def sql(settings: Settings, statement: str) -> list[Any]:
    """Run a statement on the platform's database; return its rows."""
    with psycopg.connect(settings.platform.dsn.get_secret_value(), autocommit=True) as connection:
        done = connection.execute(statement.encode())
        return done.fetchall() if done.description else []


def let_time_pass(settings: Settings, seconds: float) -> None:
    """Let the watch, and what waits, be older than it is."""
    sql(settings, _OLDER.format(seconds=seconds))
    sql(settings, f"UPDATE engagement_platform.alert SET next_try_at = next_try_at - interval '{seconds} seconds'")
