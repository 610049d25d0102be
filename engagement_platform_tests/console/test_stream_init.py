"""stream init: the folder that is written for a table passes the check as it stands; what cannot be a stream is "
"said."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from engagement_platform.cli import group
from engagement_platform.domain.errors import EngagementError
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.shop import make_shop, order

pytestmark = pytest.mark.servers


@pytest.fixture
def owner(source_db: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", source_db.dsn)
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        yield connection


def use(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["stream", *map(str, arguments)], env={"COLUMNS": "200"})


def made(folder: Path, *arguments: object) -> dict[str, Any]:
    """Write a folder, see that it passes check and preview as it stands, and return its stream.toml."""
    done = use("init", folder, *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    checked = use("check", folder)
    assert checked.exit_code == 0, checked.output
    assert "stream.toml" not in checked.output
    assert "enriched.sql" not in checked.output
    previewed = use("preview", folder)
    assert previewed.exit_code == 0, (previewed.output, previewed.exception)
    assert use("check", folder, "--offline").exit_code == 0
    return tomllib.loads((folder / "stream.toml").read_text())


def refused(folder: Path, *arguments: object) -> EngagementError:
    done = use("init", folder, *arguments)
    assert isinstance(done.exception, EngagementError), (done.output, done.exception)
    assert not folder.exists()
    return done.exception


def test_a_shop(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    make_shop(owner)
    order(owner, 100)
    toml = made(tmp_path / "orders", "--table", "shop.orders")
    assert toml["source"] == {"table": "shop.orders", "id": "order_no", "time": "placed_at"}
    assert toml["name"] == toml["warehouse"]["table"] == "orders"
    assert toml["message"] == {"key": "customer_id"}
    assert toml["views"]["measures"] == {"cents": "cents"}
    assert {"country", "channel"} <= toml["views"]["dimensions"].keys()
    assert toml["columns"]["cents"] == "What was paid, in cents."
    assert "name" not in toml["columns"], "the name of a person is offered only"
    statement = (tmp_path / "orders" / "enriched.sql").read_text()
    assert "-- customer.email" in statement
    assert "LEFT JOIN shop.customers AS customer ON customer.customer_id = event.customer_id" in statement
    shown = use("preview", tmp_path / "orders", "--last", 2).output
    values = [json.loads(line.removeprefix("value: ")) for line in shown.splitlines() if line.startswith("value: ")]
    assert [value["order_no"] for value in values] == [99, 100]
    assert values[1].keys() == toml["columns"].keys()
    assert "key: 11\n" in shown
    assert "schema-version=…" in shown


def test_what_is_offered_is_selected_once_its_first_dashes_are_taken_away(
    owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    make_shop(owner)
    owner.execute(
        "ALTER TABLE shop.orders ADD COLUMN phone text, ADD COLUMN api_token text, ADD COLUMN shipped_by bigint "
        "REFERENCES shop.customers, ADD COLUMN waits interval, ADD COLUMN email_is_good boolean"
    )
    order(owner, 3)
    toml = made(tmp_path / "orders", "--table", "shop.orders")
    assert {"email_is_good", "customer_id", "shipped_by"} <= toml["columns"].keys()
    statement = (tmp_path / "orders" / "enriched.sql").read_text()
    offered = re.compile(r"^( +)-- ((?:event|customer|shipped_by)\..*)$", re.MULTILINE)
    lines = [line for _, line in offered.findall(statement)]
    assert "event.phone,  -- names a person, by its name" in lines
    assert "event.api_token,  -- a secret, by its name" in lines
    assert "customer.email,  -- names a person, by its name" in lines
    names = [column.name for column in owner.execute(offered.sub(r"\1\2", statement).encode()).description or ()]
    assert len(names) == len(set(names)) == len(toml["columns"]) + len(lines)


def test_what_a_person_is_named_by_is_chosen_where_it_is_asked_for(
    owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    owner.execute(
        "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, email text, customer_name text, ip inet, "
        "n int); GRANT SELECT ON t TO engagement_reader"
    )
    assert made(tmp_path / "t", "--table", "t")["columns"].keys() == {"id", "at", "n"}
    assert made(tmp_path / "u", "--table", "t", "--key", "email")["columns"].keys() == {"id", "at", "email", "n"}


def test_columns_that_are_called_as_those_of_the_daily_table(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    owner.execute(
        "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL, day boolean, events int, day_ int); "
        "GRANT SELECT ON t TO engagement_reader"
    )
    made(tmp_path / "t", "--table", "t")
    (mart,) = (tmp_path / "t" / "marts").iterdir()
    text = mart.read_text()
    assert "  `day` AS day__,\n  COUNT(*) AS events_,\n  SUM(events) AS events,\n  SUM(day_) AS day_\n" in text
    assert text.endswith("GROUP BY day__\n")


def test_no_file_is_replaced(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    make_shop(owner)
    folder = tmp_path / "orders"
    made(folder, "--table", "shop.orders")
    (folder / "stream.toml").write_text("mine")
    (folder / "enriched.sql").unlink()
    done = use("init", folder, "--table", "shop.orders")
    assert "has stream.toml" in str(done.exception)
    assert (folder / "stream.toml").read_text() == "mine"
    assert not (folder / "enriched.sql").exists(), "nothing is written where not all can be"


ODD = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE "user" (id uuid PRIMARY KEY, name text);
CREATE TABLE kinds (code text PRIMARY KEY, label text, "order" int);
CREATE TABLE "Odd table" (
  "No" bigserial PRIMARY KEY,
  "from" timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  user_id uuid NOT NULL REFERENCES "user",
  "select" text REFERENCES kinds (code),
  mood mood, is_new boolean, local timestamp, span interval, price numeric(10,2), wide numeric(60,20), raw json,
  "größe" int, "Mood" text, event_date date, ip inet, secret_token text, tags text[], host_ip inet);
COMMENT ON COLUMN "Odd table".mood IS 'How "it" was:\tfine,
  or \\ not';
GRANT SELECT ON "Odd table", "user", kinds TO engagement_reader;
"""


@pytest.mark.parametrize("rows", [0, 3, 200])
def test_a_table_with_all_that_is_odd(owner: psycopg.Connection[Any], tmp_path: Path, rows: int) -> None:
    owner.execute(ODD)
    owner.execute('INSERT INTO "user" SELECT gen_random_uuid(), $$a$$ FROM generate_series(1, 5)')
    owner.execute("INSERT INTO kinds VALUES ('a', 'A', 1)")
    owner.execute(
        'INSERT INTO "Odd table" ("from", user_id, "select", mood, local, span, wide, raw, host_ip) '
        "SELECT now(), (SELECT id FROM \"user\" LIMIT 1), 'a', 'sad', now()::timestamp, interval '1 day', 1.5, "
        "'{\"a\": 1}', "
        "'::1' FROM generate_series(1, %s)",
        [rows],
    )
    toml = made(tmp_path / "odd", "--table", '"Odd table"')
    assert toml["name"] == "odd_table"
    assert toml["source"] == {"table": '"Odd table"', "id": "No", "time": "from"}
    assert toml["message"]["key"] == "user_id"
    assert toml["warehouse"]["user"] == "user_id"
    assert "mood" in toml["views"]["dimensions"]
    assert toml["columns"]["mood"] == 'How "it" was: fine, or \\ not'
    statement = (tmp_path / "odd" / "enriched.sql").read_text()
    assert "event.local AT TIME ZONE 'UTC' AS local" in statement
    assert "-- event.secret_token" in statement


def test_options_decide(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    owner.execute(
        "CREATE TABLE t (a bigserial PRIMARY KEY, b bigint GENERATED ALWAYS AS IDENTITY UNIQUE, at timestamptz NOT "
        "NULL, "
        "seen_at timestamptz NOT NULL, host text, c int); GRANT SELECT ON t TO engagement_reader"
    )
    toml = made(tmp_path / "t", "--table", "t", "--id", "b", "--time", "seen_at", "--key", "host", "--name", "pings")
    assert toml["source"] == {"table": "t", "id": "b", "time": "seen_at"}
    assert toml["name"] == "pings"
    assert toml["message"] == {"key": "host"}
    chosen = use("init", tmp_path / "u", "--table", "t").output
    assert "it could be seen_at: --time" in chosen


def test_what_may_not_be_read_is_offered_with_its_grant(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    make_shop(owner)
    owner.execute("REVOKE SELECT ON shop.customers FROM engagement_reader")
    owner.execute("REVOKE SELECT ON shop.orders FROM engagement_reader")
    owner.execute("GRANT SELECT (order_no, placed_at, channel) ON shop.orders TO engagement_reader")
    toml = made(tmp_path / "orders", "--table", "shop.orders")
    assert toml["columns"].keys() == {"order_no", "placed_at", "channel"}
    assert "GRANT SELECT ON shop.customers TO engagement_reader" in (tmp_path / "orders" / "enriched.sql").read_text()


def test_a_table_in_a_schema_that_may_not_be_used_is_offered_with_both_grants(
    owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    make_shop(owner)
    owner.execute('CREATE SCHEMA "Closed"; ALTER TABLE shop.customers SET SCHEMA "Closed"')
    made(tmp_path / "orders", "--table", "shop.orders")
    statement = (tmp_path / "orders" / "enriched.sql").read_text()
    assert '-- LEFT JOIN "Closed".customers AS customer' in statement
    assert (
        'GRANT USAGE ON SCHEMA "Closed" TO engagement_reader; GRANT SELECT ON "Closed".customers TO engagement_reader'
        in statement
    )


def test_a_partitioned_table(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    owner.execute(
        "CREATE TABLE parted (id bigserial, at timestamptz NOT NULL, host text, PRIMARY KEY (id, at)) PARTITION BY "
        "RANGE (at);"
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2026-06-01');"
        "CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-06-01') TO ('2099-01-01');"
        "INSERT INTO parted (at, host) SELECT '2026-05-31'::timestamptz + n * interval '1 hour', 'a' "
        "FROM generate_series(1, 100) AS n; GRANT SELECT ON parted TO engagement_reader"
    )
    made(tmp_path / "parted", "--table", "parted")


REFUSED = {
    "CREATE VIEW t AS SELECT 1::bigint AS id, now() AS at": "t is a view",
    "CREATE MATERIALIZED VIEW t AS SELECT 1::bigint AS id, now() AS at": "t is a materialized view",
    "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)": "no integer column that takes its values from a sequence",
    "CREATE TABLE t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), at timestamptz)": "no integer column that takes",
    "CREATE TABLE t (id bigserial, day date)": "no column with the time of its rows",
    "CREATE TABLE t (id bigserial, at timestamp)": "ALTER COLUMN at TYPE timestamptz USING at AT TIME ZONE 'UTC'",
    "CREATE TABLE t (id bigserial, at timestamptz); ALTER SEQUENCE t_id_seq CACHE 10": "ALTER SEQUENCE t_id_seq "
    "CACHE 1",
    "CREATE TABLE t (id bigserial, at timestamptz); ALTER TABLE t ENABLE ROW LEVEL SECURITY": "BYPASSRLS",
    "CREATE SCHEMA other; CREATE TABLE other.t (id bigserial, at timestamptz)": "There is other.t: name it so",
    'CREATE TABLE t ("no." bigserial, at timestamptz)': "RENAME COLUMN",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_what_cannot_be_a_stream_is_said_with_what_to_do(
    owner: psycopg.Connection[Any], tmp_path: Path, statement: str
) -> None:
    owner.execute(f"{statement}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO engagement_reader".encode())
    error = refused(tmp_path / "t", "--table", "t")
    assert REFUSED[statement] in str(error)
    assert error.todo


def test_a_right_that_is_missing_is_named(owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    owner.execute("CREATE TABLE t (id bigserial, at timestamptz)")
    assert "GRANT SELECT ON t TO engagement_reader" in refused(tmp_path / "t", "--table", "t").todo
    owner.execute("CREATE SCHEMA closed; CREATE TABLE closed.t (id bigserial, at timestamptz)")
    assert "GRANT USAGE ON SCHEMA closed" in refused(tmp_path / "t", "--table", "closed.t").todo
