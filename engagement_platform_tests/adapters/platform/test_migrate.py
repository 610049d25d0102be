"""The migrations of the platform's schema."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from dagster_postgres import PostgresRunStorage
from pydantic import SecretStr

from engagement_platform.adapters.platform import migrate
from engagement_platform.adapters.platform.rights import HEAD
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

ENSURE = """
import sys
from pydantic import SecretStr
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.settings import Settings
ensure_schema(Settings.of(source_dsn=SecretStr("unused"), platform_dsn=SecretStr(sys.argv[1])))
print("alembic" in sys.modules)
"""


def ensure_in_a_process(settings: Settings) -> subprocess.Popen[str]:
    dsn = settings.platform.dsn.get_secret_value()
    return subprocess.Popen(
        [sys.executable, "-c", ENSURE, dsn], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_head_is_the_newest_migration() -> None:
    files = (Path(migrate.__file__).parent / "migrations").iterdir()
    numbers = sorted(file.name[:4] for file in files if file.suffix == ".sql")
    assert numbers == [f"{number:04}" for number in range(1, int(HEAD) + 1)]


def test_processes_that_migrate_at_once_all_succeed(bare: Settings) -> None:
    processes = [ensure_in_a_process(bare) for _ in range(4)]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for *_, code in ends] == [0, 0, 0, 0], ends
    with psycopg.connect(bare.platform.dsn.get_secret_value()) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'engagement_platform' ORDER BY 1"
        ).fetchall()
        elsewhere = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert [name for (name,) in tables] == [
        "alert",
        "alert_watch",
        "audit",
        "day_comparison",
        "day_due",
        "day_rebuild",
        "delivery",
        "erasure",
        "forward_decision",
        "forward_position",
        "letter_action",
        "location_watch",
        "loop_total",
        "pause",
        "rejection_credit",
        "relay_checkpoint_history",
        "relay_checkpoint_mirror",
        "run_beat",
        "schema_version",
        "stream_assignment",
        "stream_lease",
        "stream_loop",
        "stream_schema",
        "warehouse_load",
        "warehouse_load_wal",
    ]
    assert elsewhere == (0,)


def test_what_migrates_loads_no_framework(migrated: Settings) -> None:
    out, _ = ensure_in_a_process(migrated).communicate(timeout=60)
    assert out.strip() == "False"


def test_a_database_that_does_not_answer_is_unavailable_and_no_password_shows() -> None:
    gone = SecretStr("postgresql://someone:secret@127.0.0.1:1/platform")
    with pytest.raises(Unavailable, match="ENGAGEMENT_PLATFORM_DSN") as raised:
        migrate.ensure_schema(Settings.of(source_dsn=SecretStr("unused"), platform_dsn=gone))
    assert "secret" not in str(raised.value)


def test_dagster_finds_its_own_version_whichever_was_first(bare: Settings) -> None:
    """The role has the name of the schema here, as in the local stack, so an unqualified name is looked for in it."""
    dsn = bare.platform.dsn.get_secret_value()
    migrate.ensure_schema(bare)
    PostgresRunStorage(dsn, should_autocreate_tables=True)
    PostgresRunStorage(dsn, should_autocreate_tables=True)
    migrate.ensure_schema(bare)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_schema_under_the_former_name_of_its_version_is_taken_over(bare: Settings) -> None:
    dsn = bare.platform.dsn.get_secret_value()
    migrate.ensure_schema(bare)
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE engagement_platform.schema_version RENAME TO alembic_version")
    migrate.ensure_schema(bare)
    with psycopg.connect(dsn) as connection:
        kept = connection.execute("SELECT version_num FROM engagement_platform.schema_version").fetchall()
        assert kept == [(HEAD,)]
        assert connection.execute("SELECT to_regclass('engagement_platform.alembic_version')").fetchone() == (None,)
