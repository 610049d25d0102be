"""stream check: what is wrong in a folder and at its source is said at once, with file, line and remedy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.cli import group
from engagement_platform.console import folder_check
from engagement_platform.console.finding import Finding
from engagement_platform.console.stream_check import all_findings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.shop import make_shop, order

TOML = """\
name = "orders"
meaning = "What was bought."

[source]
table = "shop.orders"
id = "order_no"
time = "placed_at"

[message]
key = "customer_id"

[views.dimensions]
country = { column = "country" }
channel = { column = "channel", shown = ["country"] }

[views.measures]
cents = "cents"

[warehouse]
table = "orders"
clustered_by = ["customer_id"]

[columns]
order_no = "Number."
placed_at = "When."
customer_id = "Who."
channel = "Where."
cents = "How much."
country = "Where the customer lives."
"""
SQL = """\
-- Orders.
SELECT event.order_no,
       event.placed_at,
       event.customer_id,
       event.channel,
       event.cents,
       customer.country
  FROM shop.orders AS event
  LEFT JOIN shop.customers AS customer ON customer.customer_id = event.customer_id
"""
MART = """\
SELECT @day AS day, country, SUM(cents) AS cents FROM orders
WHERE placed_at >= @begin AND placed_at < @end GROUP BY country
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stream.toml").write_text(TOML)
    (tmp_path / "enriched.sql").write_text(SQL)
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts" / "daily_orders.sql").write_text(MART)
    return tmp_path


@pytest.fixture
def owner(source_db: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", source_db.dsn)
    with psycopg.connect(source_db.admin_dsn, autocommit=True) as connection:
        make_shop(connection)
        order(connection, 50)
        connection.execute(
            "GRANT SELECT ON SEQUENCE shop.orders_order_no_seq TO engagement_reader; CREATE INDEX ON shop.orders "
            "(placed_at)"
        )
        yield connection


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def found(folder: Path, *, offline: bool = False) -> list[Finding]:
    return list(all_findings(folder_check.texts_of(folder), offline=offline))


OF_TOML = {
    'meaning = "What': ('meanin = "What', 2, "unknown field `meanin`: is `meaning` meant?"),
    'id = "order_no"': ("id = 7", 6, "source.id: expected `str`, got `int`"),
    'time = "placed_at"\n': ("", 4, "source: the required field `time` is missing"),
    'name = "orders"': ('name = "My Orders"', 1, "'My Orders' is no name"),
    'cents = "cents"\n\n': ('count = "cents"\n\n', 17, "count is the number of events"),
    'key = "customer_id"': ("key = customer_id", 10, "it is no TOML"),
    "channel = { column": ("channel = { colunm", 14, "unknown field `colunm`: is `column` meant?"),
}


@pytest.mark.parametrize("old", OF_TOML)
def test_a_fault_of_the_toml_is_said_with_its_line(folder: Path, old: str) -> None:
    new, line, said = OF_TOML[old]
    change(folder, "stream.toml", old, new)
    findings = found(folder, offline=True)
    assert (said, line) in [(next((said for _ in [0] if said in each.what), each.what), each.line) for each in findings]
    assert CliRunner().invoke(group, ["stream", "check", str(folder), "--offline"]).exit_code == 1


def test_all_of_it_is_said_at_once(folder: Path) -> None:
    change(folder, "stream.toml", 'meaning = "What', 'meanin = "What')
    change(folder, "stream.toml", 'id = "order_no"', 'it = "order_no"')
    change(folder, "enriched.sql", "event.channel", "random()")
    (folder / "marts" / "Bad.sql").write_text("SELEC 1")
    said = [(each.file, each.line) for each in found(folder, offline=True)]
    assert ("stream.toml", 2) in said
    assert ("stream.toml", 6) in said
    assert ("enriched.sql", 5) in said
    assert "marts/Bad.sql" in [file for file, _ in said]


def test_what_is_said_of_marts_and_is_not_true_is_told(folder: Path) -> None:
    with (folder / "stream.toml").open("a") as toml:
        toml.write('\n[marts.daily]\nmeaning = "No file."\n\n[marts.daily_orders.columns]\ncents = { type = "int" }\n')
    (folder / "marts" / "weekly.sql").write_text("SELECT @day AS day, @begin AS a, @end AS b FROM again")
    (folder / "marts" / "again.sql").write_text("SELECT @day AS day, @begin AS a, @end AS b FROM weekly")
    said = {each.what: each.file for each in found(folder, offline=True)}
    assert said["marts.daily: there is no file marts/daily.sql"] == "stream.toml"
    assert [file for what, file in said.items() if "its type 'int' is none of INT64" in what] == ["stream.toml"]
    assert [file for what, file in said.items() if "the marts again, weekly read each other" in what] == ["marts"]


def test_what_the_files_have_is_said_also_where_the_source_cannot_be_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "enriched.sql", "event.channel", "random()")
    assert [each.what.split()[0].rstrip(":") for each in found(folder)] == ["random()", "ENGAGEMENT_SOURCE_DSN"]
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    assert any("does not answer" in each.what for each in found(folder))


def test_what_is_missing_is_named(folder: Path) -> None:
    (folder / "enriched.sql").unlink()
    assert [each.what for each in found(folder, offline=True)] == ["there is no enriched.sql"]


@pytest.mark.servers
def test_a_good_folder_has_no_fault(folder: Path, owner: psycopg.Connection[Any]) -> None:
    assert found(folder) == []
    done = CliRunner().invoke(group, ["stream", "check", str(folder)])
    assert done.exit_code == 0, done.output
    assert "can be a stream" in done.output


FAULTS = {
    ("stream.toml", 'column = "channel"', 'column = "chanel"'): (
        14,
        "enriched.sql has no column chanel (is channel meant?)",
    ),
    ("stream.toml", 'shown = ["country"]', 'shown = ["land"]'): (14, "enriched.sql has no column land"),
    ("stream.toml", 'cents = "cents"', 'cents = "channel"'): (17, "channel is text, and views add up whole numbers"),
    ("stream.toml", '\ncents = "cents"', '\ncents = "placed_at"'): (
        17,
        "is the time of the events, which is no measure",
    ),
    ("stream.toml", '["customer_id"]', '["a", "b"]'): (21, "enriched.sql has no column a"),
    ("stream.toml", '["customer_id"]\n', '["customer_id"]\nuser = "nobody"\n'): (22, "no column nobody"),
    ("stream.toml", 'key = "customer_id"', 'key = "customer"'): (None, "no column customer, the message's key"),
    ("enriched.sql", "event.cents", "event.cents::numeric(10,2) AS cents"): (17, "(cents * 100)::bigint"),
    ("enriched.sql", "customer.country", "to_jsonb(customer.country) AS country"): (13, "country is jsonb"),
    ("enriched.sql", "customer.country", "ARRAY[customer.country] AS country"): (13, "country is array of text"),
    ("enriched.sql", "customer.country", "1.5::float8 AS country"): (13, "country is float"),
    ("enriched.sql", "event.order_no", "event.order_no + 1 AS order_no"): (2, "order_no, the id, is not the column of"),
    ("enriched.sql", "event.placed_at", "event.placed_at + interval '1h' AS placed_at"): (
        3,
        "placed_at, the time, is not",
    ),
    ("enriched.sql", "event.order_no", "event.order_no AS number"): (None, "it has no column order_no, the id"),
    ("enriched.sql", "event.channel", "event.channel || random() AS channel"): (5, "random() gives another value"),
    ("enriched.sql", "event.channel", "now()::text AS channel"): (5, "now gives another value"),
    ("enriched.sql", "event.channel", "current_date::text AS channel"): (5, "current_date gives another value"),
    ("enriched.sql", "event.channel", "event.xmin::text AS channel"): (5, "xmin gives another value"),
    ("enriched.sql", "event.channel", "nextval('shop.s')::text AS channel"): (5, "nextval() gives another value"),
    ("enriched.sql", "event.channel", "event.chanel"): (5, "column event.chanel does not exist"),
    ("enriched.sql", "event.channel", "'1 day'::interval AS channel"): (5, "its column channel is interval"),
    ("enriched.sql", "event.channel", "row_number() OVER (ORDER BY order_no)::text AS channel"): (
        None,
        "a window function",
    ),
    ("enriched.sql", "event.channel", "unnest('{a,b}'::text[]) AS channel"): (
        None,
        "50 of the newest 50 rows come more",
    ),
    ("enriched.sql", "customer.customer_id = event.customer_id", "customer.country = event.channel"): (
        9,
        "shop.customers may have several rows for one event",
    ),
    ("enriched.sql", "LEFT JOIN shop.customers", "LEFT JOIN shop.dated"): (9, "shop.dated may have several rows"),
    ("enriched.sql", "LEFT JOIN shop.customers", "LEFT JOIN shop.secret"): (9, "may not read shop.secret"),
    ("enriched.sql", "LEFT JOIN shop.customers", "LEFT JOIN shop.hidden"): (
        9,
        "row level security hides rows of shop.hidden",
    ),
    ("enriched.sql", "LEFT JOIN shop.customers", "LEFT JOIN shop.by_clock"): (None, "now gives another value"),
    ("enriched.sql", "event.customer_id\n", "event.customer_id LIMIT 10\n"): (None, "LIMIT makes an event depend"),
    ("enriched.sql", "FROM shop.orders AS event", "FROM (SELECT DISTINCT * FROM shop.orders) AS event"): (
        None,
        "DISTINCT",
    ),
    ("marts/daily_orders.sql", "SUM(cents)", "SUM(cent)"): (None, '"cent" not found'),
    ("marts/daily_orders.sql", "FROM orders", "FROM order_events"): (None, "There is no table order_events"),
    ("marts/daily_orders.sql", "@day AS day, ", ""): (None, "it gives no column day"),
    ("marts/daily_orders.sql", "@begin", "@since"): (None, "parameters that nobody gives: @since"),
    ("marts/daily_orders.sql", "GROUP BY country", "GROUP country"): (None, "cannot be read"),
}


@pytest.mark.servers
def test_columns_that_a_mart_does_not_give_are_said(folder: Path, owner: psycopg.Connection[Any]) -> None:
    text = '[marts.daily_orders.columns]\ncountry = { type = "STRING" }\neuros = { type = "INT64" }\n'
    (folder / "stream.toml").write_text(f"{TOML}\n{text}")
    assert {(each.what, each.line) for each in found(folder)} == {
        ("marts.daily_orders.columns.euros: the query does not give it", 33),
        ("marts.daily_orders.columns.cents: the query gives it, and it is not listed", 31),
    }


@pytest.fixture
def others(owner: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Tables that a statement had better not join."""
    owner.execute(
        "CREATE SEQUENCE shop.s; GRANT USAGE ON SEQUENCE shop.s TO engagement_reader;"
        "CREATE TABLE shop.dated AS SELECT customer_id, country, now() AS since FROM shop.customers;"
        "CREATE TABLE shop.secret (LIKE shop.customers INCLUDING ALL);"
        "CREATE TABLE shop.hidden (LIKE shop.customers INCLUDING ALL); ALTER TABLE shop.hidden ENABLE ROW LEVEL "
        "SECURITY;"
        "CREATE VIEW shop.through AS SELECT * FROM shop.orders;"
        "CREATE VIEW shop.by_clock AS SELECT customer_id, now()::text AS country FROM shop.customers;"
        "GRANT SELECT ON shop.dated, shop.hidden, shop.by_clock, shop.through TO engagement_reader"
    )
    return owner


@pytest.mark.servers
def test_each_fault_at_the_source_is_said_with_its_line(folder: Path, others: psycopg.Connection[Any]) -> None:
    whole = {file: (folder / file).read_text() for file in ("stream.toml", "enriched.sql", "marts/daily_orders.sql")}
    for (file, old, new), (line, said) in FAULTS.items():
        for name, text in whole.items():
            (folder / name).write_text(text)
        change(folder, file, old, new)
        faults = [each for each in found(folder) if each.level == "fault"]
        assert any(said in each.what and line in (None, each.line) for each in faults), (new, said, line, faults)


SOUND = (
    ("LEFT JOIN shop.customers AS", "JOIN shop.customers AS"),
    (
        "LEFT JOIN shop.customers AS customer ON",
        "LEFT JOIN (SELECT DISTINCT ON (customer_id) * FROM shop.dated) AS customer ON",
    ),
    (
        "LEFT JOIN shop.customers AS customer ON customer.customer_id = event.customer_id",
        "LEFT JOIN LATERAL (SELECT country FROM shop.dated AS d WHERE d.customer_id = event.customer_id "
        "ORDER BY since DESC LIMIT 1) AS customer ON true",
    ),
    (
        "customer.country",
        "(SELECT max(d.country) FROM shop.dated AS d WHERE d.customer_id = event.customer_id) AS country",
    ),
    ("FROM shop.orders", "FROM shop.orders /* now() */"),
    ("FROM shop.orders", "FROM shop.through"),
)


@pytest.mark.servers
def test_what_gives_each_row_once_is_no_fault(folder: Path, others: psycopg.Connection[Any]) -> None:
    for old, new in SOUND:
        (folder / "enriched.sql").write_text(SQL)
        change(folder, "enriched.sql", old, new)
        assert found(folder) == [], new


@pytest.mark.servers
def test_what_works_and_should_be_looked_at_is_no_fault(folder: Path, others: psycopg.Connection[Any]) -> None:
    others.execute(
        "CREATE FUNCTION shop.upper(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT upper($1)';"
        "UPDATE shop.orders SET cents = cents + 1 WHERE order_no < 10; DELETE FROM shop.orders WHERE order_no = 9;"
        "SELECT pg_stat_force_next_flush(); DROP INDEX shop.orders_placed_at_idx"
    )
    change(folder, "enriched.sql", "event.channel", "shop.upper(event.channel) AS channel, event.cents AS more")
    change(folder, "enriched.sql", "event.customer_id\n", "event.customer_id WHERE event.order_no > 20\n")
    change(
        folder,
        "enriched.sql",
        "customer.country",
        "(SELECT max(o.channel) FROM shop.orders AS o WHERE o.order_no < event.order_no) AS country",
    )
    change(folder, "stream.toml", "[columns]\n", '[columns]\ngone = "A column that was."\n')
    change(
        folder, "stream.toml", "[columns]\n", '[warehouse.same_values]\n0123456789ab = "0123456789ac"\n\n[columns]\n'
    )
    findings = found(folder)
    assert {each.level for each in findings} == {"warning"}
    said = " ".join(each.what for each in findings)
    for what in (
        "no index on shop.orders.placed_at",
        "upper() is marked VOLATILE",
        "9 updates and 1 deletes",
        "rows are left out",
        "it reads shop.orders more than once",
        "columns: more has no meaning",
        "columns.gone: enriched.sql has no such column",
        "same_values is for another enriched.sql",
    ):
        assert what in said, (what, said)


@pytest.mark.servers
def test_what_the_source_does_not_give_is_said_as_doctor_does(folder: Path, owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER SEQUENCE shop.orders_order_no_seq CACHE 5")
    (cache,) = (each for each in found(folder) if each.level == "fault")
    assert "CACHE 5" in cache.what
    assert "ALTER SEQUENCE" in cache.todo
    owner.execute("REVOKE SELECT ON shop.orders FROM engagement_reader")
    assert any("GRANT SELECT ON shop.orders" in each.todo for each in found(folder))
