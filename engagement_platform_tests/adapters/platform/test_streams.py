"""One schema for each stream: none touches another, and dropping a stream is dropping its schema."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from engagement_platform.adapters.platform import forwarded, mirror, published
from engagement_platform.adapters.platform.audit import Audit
from engagement_platform.adapters.platform.calendar import Calendar
from engagement_platform.adapters.platform.dead_letters import open_actions
from engagement_platform.adapters.platform.decisions import RejectionCredit
from engagement_platform.adapters.platform.deliveries import DeliveryTable
from engagement_platform.adapters.platform.erasures import Erasures
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.adapters.platform.rights import HEAD, read_rights
from engagement_platform.adapters.platform.run_beats import RunBeats
from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.domain.duplicates import WalPosition
from engagement_platform.domain.errors import Refused
from engagement_platform.domain.reconciliation import Findings
from engagement_platform.local.stack import Endpoints
from engagement_platform.recovery.rejections import give_up
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.platform.conftest import of_stream
from engagement_platform_tests.adapters.platform.test_deliveries import delivery
from engagement_platform_tests.adapters.platform.test_loads import DAY, TABLE, a_load, enter
from engagement_platform_tests.adapters.platform.test_schemas import put_back

ORDERS = "engagement_platform_orders"
COMMON_TABLES = {"run_beat", "alert", "alert_watch", "location_watch"}
"""Tables that stand for all streams."""
CHECKPOINT = Checkpoint(source=SourceIdentity("1", 1, "media"), hi=7, missing=[], unseen_at=0)


@pytest.fixture
def orders(migrated: Settings) -> Settings:
    return of_stream(migrated, "orders")


def rows_of(settings: Settings, schema: str) -> dict[str, int]:
    """Return how many rows each table of a schema has, but for its version and its forms."""
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
        counted = {}
        for (table,) in tables:
            of = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            counted[table] = int((connection.execute(of).fetchone() or (0,))[0])
    return {table: rows for table, rows in counted.items() if table not in ("schema_version", "stream_schema")}


def use_everything(settings: Settings) -> None:
    """Write to every table of a stream, as its processes do."""
    with Leases.opened(settings, "test") as leases:
        epoch = leases.register("run", "relay")
        leases.claim("run", epoch, 60, ["relay"])
        leases.beat("run", "relay", epoch, {})
        assert Pauses(leases.session).pause("tally", "me", "")
        RejectionCredit(leases.session).change("tally", -9)
    mirror.replace(settings, CHECKPOINT)
    forwarded.write(settings, settings.topics.events, forwarded.Position("t", {0: 1}, datetime.now(UTC)))
    give_up(settings, "forward", 3, "me")
    with Loads.opened(settings, "test") as loads:
        assert enter(loads, replace(a_load(), wal_ends={0: WalPosition(1, 2, 3, 4, 5)}))
        DueDays(loads.session).note(TABLE, [DAY], "because")
        assert Rebuilds(loads.session).begin(TABLE, date(2026, 5, 5), "run") is not None
        Calendar(loads.session).keep("run", [Findings(DAY, 1, 1)])
        with Audit(loads.session).recorded("me", "backfill", str(DAY)):
            DeliveryTable(loads.session).keep([delivery()])
        Erasures(loads.session).begin("of a user", "me")
    with open_actions(settings, "topic", alone=True) as actions:
        actions.session.execute(
            'INSERT INTO {schema}.letter_action (topic_id, partition, "offset", kind, who, why) '
            "VALUES ('topic', 0, 1, 'redrive', 'me', '')"
        )


@pytest.mark.parametrize("first", ["engagement", "orders"])
def test_what_a_stream_writes_is_in_its_schema_and_in_no_other(migrated: Settings, first: str) -> None:
    settings = {name: of_stream(migrated, name) for name in ("engagement", "orders")}
    schemas = {"engagement": "engagement_platform", "orders": ORDERS}
    other = next(name for name in settings if name != first)
    use_everything(settings[first])
    with Leases.opened(settings[first], "test") as leases:
        leases.declare(2, "me")
    assert not any(rows_of(migrated, schemas[other]).values())
    written = rows_of(migrated, schemas[first])
    common = {table: written.pop(table) for table in COMMON_TABLES if table in written}
    assert all(written.values()), written
    use_everything(settings[other])
    assert rows_of(migrated, schemas[first]) == written | common


def test_only_the_heartbeats_of_dagster_s_runs_and_alerts_are_no_stream_s(migrated: Settings, orders: Settings) -> None:
    common, own = rows_of(migrated, "engagement_platform"), rows_of(migrated, ORDERS)
    assert common.keys() - own.keys() == COMMON_TABLES
    assert own.keys() <= common.keys()


def test_heartbeats_of_runs_are_common_to_all_streams(migrated: Settings, orders: Settings) -> None:
    with RunBeats.opened(orders, "test") as beats, RunBeats.opened(migrated, "test") as others:
        beats.beat("a", "settle_day", "")
        assert [run.run_id for run in others.at_work()] == ["a"]
        for settings in (migrated, orders):
            with Leases.opened(settings, "test") as leases:
                leases.register(f"lease of {settings.topics.events}", "relay")
            with Leases.opened(orders, "test") as leases:
                leases.register("lease of orders", "relay")
        _, signs = others.look(["a", f"lease of {migrated.topics.events}", "lease of orders", "unknown"])
        assert [beat is not None for beat in signs.values()] == [True, True, True, False]


def test_a_stream_that_starts_first_brings_what_is_common(bare: Settings) -> None:
    of_stream(bare, "orders")
    with RunBeats.opened(of_stream(bare, "orders"), "test") as beats:
        assert beats.beat("a", "settle_day", "")


def test_dropping_a_stream_is_dropping_its_schema(migrated: Settings, orders: Settings) -> None:
    use_everything(migrated)
    use_everything(orders)
    with psycopg.connect(migrated.platform.dsn.get_secret_value()) as connection:
        connection.execute(f"DROP SCHEMA {ORDERS} CASCADE")
    assert mirror.read(migrated) == CHECKPOINT
    with RunBeats.opened(migrated, "test") as beats:
        assert beats.look(["run"])[1]["run"] is not None
    assert mirror.read(orders) is None
    ensure_schema(orders)
    with Leases.opened(orders, "test") as leases:
        assert leases.latest().lease is None
    with Leases.opened(migrated, "test") as leases:
        assert leases.latest().lease is not None


def test_a_stream_s_locks_hold_up_no_other(migrated: Settings, orders: Settings) -> None:
    with (
        open_actions(migrated, "topic", alone=True),
        open_actions(orders, "topic", alone=True),
        Leases.opened(migrated, "test") as leases,
        leases.session.transaction(),
    ):
        leases.register("held", "relay")
        with Leases.opened(orders, "test") as others:
            assert others.register("run", "relay") == 1


def test_thinning_and_pruning_are_of_one_stream(migrated: Settings, orders: Settings) -> None:
    for settings, schema in ((migrated, "engagement_platform"), (orders, ORDERS)):
        use_everything(settings)
        with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
            for table, column in (
                ("stream_loop", "heartbeat_at"),
                ("stream_lease", "claimed_at"),
                ("warehouse_load", "closed_at"),
                ("relay_checkpoint_history", "recorded_at"),
            ):
                connection.execute(f"UPDATE {schema}.{table} SET {column} = now() - interval '9 days'")
            connection.execute(f"UPDATE {schema}.warehouse_load SET version = 0")
            connection.execute(
                f"INSERT INTO {schema}.relay_checkpoint_history"
                " SELECT topic, recorded_at + interval '1 day', generation, hi, unseen_at, checkpoint"
                f" FROM {schema}.relay_checkpoint_history"
            )
        with Leases.opened(settings, "test") as leases:
            leases.claim("next", 2, 60, ["relay"])
        with Loads.opened(settings, "test") as loads:
            assert enter(loads, a_load(2))
        mirror.replace(settings, CHECKPOINT)
    before = rows_of(migrated, "engagement_platform")
    for store in (Leases, Loads, Rebuilds):
        with store.opened(orders, "test") as opened:
            opened.prune(48)
    published.thin(orders, 48)
    assert rows_of(migrated, "engagement_platform") == before
    pruned = rows_of(migrated, ORDERS)
    assert [pruned[table] for table in ("stream_loop", "stream_lease", "warehouse_load")] == [0, 1, 1]
    assert before["relay_checkpoint_history"] == 3
    assert pruned["relay_checkpoint_history"] == 2, "the first of its generation, and the present one"


def test_many_processes_of_several_streams_migrate_at_once(bare: Settings) -> None:
    """Threads are enough here: processes at once are in test_migrate."""
    failures: list[BaseException] = []
    start = threading.Barrier(6)

    def migrate(name: str) -> None:
        start.wait(10)
        try:
            of_stream(bare, name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=[name]) for name in ("orders", "visits", "engagement") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert versions(bare) == {ORDERS: HEAD, "engagement_platform_visits": HEAD, "engagement_platform": HEAD}


def versions(settings: Settings) -> dict[str, str]:
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        names = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'schema_version'").fetchall()
        return {
            name: str((connection.execute(f"SELECT version_num FROM {name}.schema_version").fetchone() or [None])[0])
            for (name,) in names
        }


def test_a_schema_of_a_later_version_is_used_as_it_is(orders: Settings) -> None:
    """A process of this version beside one of the next, or after going back to this one."""
    with psycopg.connect(orders.platform.dsn.get_secret_value()) as connection:
        connection.execute(f"UPDATE {ORDERS}.schema_version SET version_num = '9999'")
    ensure_schema(orders)
    use_everything(orders)


@contextmanager
def as_another_role(stack: Endpoints, settings: Settings, name: str = "orders") -> Iterator[tuple[Settings, Any]]:
    """Settings of a stream whose role owns nothing; and a connection of the administrator to that database."""
    role = f"poor_{settings.topics.events.replace('-', '_')}"
    database = psycopg.conninfo.conninfo_to_dict(settings.platform.dsn.get_secret_value())["dbname"]
    with psycopg.connect(make_conninfo(stack.admin_dsn, dbname=database), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'poor'").format(sql.Identifier(role)))
        try:
            dsn = make_conninfo(settings.platform.dsn.get_secret_value(), user=role, password="poor")
            yield settings.replace(platform_dsn=_secret(dsn), stream=name), admin
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def _secret(dsn: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(dsn)


def remedy(error: Refused) -> list[str]:
    """Return the statements that an error tells an administrator to run."""
    return error.todo.partition(": ")[2].split("; ")


def follow(settings: Settings, admin: Any) -> list[str]:
    """Do as each error says until the stream starts; return the statements."""
    done: list[str] = []
    for _ in range(6):
        try:
            ensure_schema(settings)
        except Refused as error:
            for statement in remedy(error):
                admin.execute(statement)
                done.append(statement)
        else:
            return done
    raise AssertionError(done)


def test_a_role_that_may_not_create_schemas_is_told_what_to_ask_for(stack: Endpoints, bare: Settings) -> None:
    with as_another_role(stack, bare) as (poor, admin):
        role = psycopg.conninfo.conninfo_to_dict(poor.platform.dsn.get_secret_value())["user"]
        assert follow(poor, admin) == [
            f"CREATE SCHEMA engagement_platform AUTHORIZATION {role}",
            f"CREATE SCHEMA {ORDERS} AUTHORIZATION {role}",
        ]
        use_everything(poor)
        assert all(not rights.missing for rights in read_rights(poor))


def test_schemas_that_are_there_need_no_right_to_create_them(stack: Endpoints, bare: Settings) -> None:
    with as_another_role(stack, bare) as (poor, admin):
        role = psycopg.conninfo.conninfo_to_dict(poor.platform.dsn.get_secret_value())["user"]
        for schema in ("engagement_platform", ORDERS):
            admin.execute(f"CREATE SCHEMA {schema}")
        wanted = [
            f"GRANT USAGE, CREATE ON SCHEMA engagement_platform TO {role}",
            f"GRANT USAGE, CREATE ON SCHEMA {ORDERS} TO {role}",
        ]
        assert [statement for rights in read_rights(poor) for statement in rights.missing] == wanted
        assert follow(poor, admin) == wanted
        use_everything(poor)


def test_tables_that_another_role_has_made_are_used_once_they_are_granted(
    stack: Endpoints, migrated: Settings, orders: Settings
) -> None:
    with as_another_role(stack, migrated) as (poor, admin):
        for _ in range(2):
            for rights in read_rights(poor):
                for statement in rights.missing:
                    admin.execute(statement)
        ensure_schema(poor)
        use_everything(poor)


def test_an_older_schema_of_another_role_tells_what_to_hand_over(stack: Endpoints, bare: Settings) -> None:
    with as_another_role(stack, bare) as (poor, admin):
        of_stream(bare, "orders")
        for schema in ("engagement_platform", ORDERS):
            put_back(admin, schema)
        done = follow(poor, admin)
        assert any(statement.startswith(f"ALTER TABLE {ORDERS}.stream_lease OWNER TO") for statement in done)
        use_everything(poor)


def test_no_statement_names_a_schema_but_those_of_what_is_common() -> None:
    """Else it would be of one stream, whichever asks."""
    folder = resources.files("engagement_platform.adapters.platform")
    named = [
        file.name
        for file in folder.iterdir()
        if file.name.endswith(".sql") and "engagement_platform." in file.read_text()
    ]
    assert sorted(named) == ["alerts.sql", "run_beats.sql"]
