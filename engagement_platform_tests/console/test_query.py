"""The command `sql`, and the analyst's page: its tables are those of the code, its queries have answers."""

import json
import re
from pathlib import Path

import psycopg
import pytest
import sqlglot
from click.testing import CliRunner

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.cli import group
from engagement_platform.domain.table import Table
from engagement_platform.history.marts import refresh_day
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.table import tables_of
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, PACKAGED
from engagement_platform_tests.warehouse import DAY, write

PAGE = Path(__file__).parents[2] / "docs" / "warehouse.md"
QUERIES: list[str] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)


def described(table: Table) -> str:
    """The section of a table in the page."""
    lines = [f"### `{table.name}`", "", table.meaning, "", "| column | type | |", "|---|---|---|"]
    lines += [f"| `{column.name}` | {column.kind.value} | {column.meaning} |" for column in table.columns]
    return "\n".join(lines)


def tables() -> str:
    return "\n\n".join(map(described, tables_of(PACKAGED, ENGAGEMENT_EVENTS)))


def test_the_page_describes_the_tables_as_they_are() -> None:
    found = PAGE.read_text().split("<!-- tables -->")[1].split("<!-- end of tables -->")[0].strip()
    assert found == tables()


@pytest.fixture
def in_use(settings: Settings, source_db: SourceDatabase, monkeypatch: pytest.MonkeyPatch) -> Settings:
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 3)
        write(writer, 1, device=None, duration_ms=None, event_type="click")
    rebuild_days(settings, [DAY], "run")
    for mart in PACKAGED.marts.values():
        refresh_day(settings, mart, DAY)
    monkeypatch.setattr("engagement_platform.settings.load", lambda *_: settings)
    return settings


def test_there_are_ten_questions_in_bigquery_s_dialect() -> None:
    assert len(QUERIES) == 10
    for text in QUERIES:
        assert isinstance(sqlglot.parse_one(text, read="bigquery"), sqlglot.exp.Query)


def test_each_question_has_an_answer(in_use: Settings) -> None:
    warehouse = open_warehouse(in_use)
    for table in tables_of(PACKAGED, ENGAGEMENT_EVENTS):
        warehouse.ensure(table)
    for text in QUERIES:
        assert warehouse.query(text).column_names


def run(*arguments: str) -> str:
    result = CliRunner().invoke(group, ["sql", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


SELECT = (
    "SELECT device, COUNT(*) AS n, SUM(engagement_seconds) AS seconds, MIN(event_ts) AS first "
    "FROM engagement_events WHERE event_ts >= TIMESTAMP '2026-01-01' GROUP BY device ORDER BY n DESC"
)


def test_csv_is_exact(in_use: Settings) -> None:
    assert run(SELECT, "--format", "csv").splitlines() == [
        "device,n,seconds,first",
        "ios,3,3.03,2026-03-01T00:00:01Z",
        ",1,,2026-03-01T00:00:01Z",
    ]


def test_csv_tells_an_empty_text_from_null_and_quotes_what_a_reader_would_stumble_over(in_use: Settings) -> None:
    odd = """SELECT '' AS empty, CAST(NULL AS STRING) AS nothing, 'a,"b"' AS quoted, ' x' AS spaced"""
    assert run(odd, "--format", "csv").splitlines()[1] == '"",,"a,""b"""," x"'


def test_json_is_exact(in_use: Settings) -> None:
    first, second = map(json.loads, run(SELECT, "--format", "json").splitlines())
    assert first == {"device": "ios", "n": 3, "seconds": "3.03", "first": "2026-03-01T00:00:01Z"}
    assert second["device"] is None


def test_a_table_says_when_it_is_cut(in_use: Settings) -> None:
    out = run("SELECT id FROM engagement_events WHERE event_ts >= TIMESTAMP '2026-01-01'", "--max-rows", "2")
    assert "4 rows, of which 2 are shown" in out


@pytest.mark.parametrize("text", ["DROP TABLE engagement_events", "SELECT FROM", "SELECT x FROM engagement_events"])
def test_what_is_no_question_is_said(in_use: Settings, text: str) -> None:
    result = CliRunner().invoke(group, ["sql", text])
    assert type(result.exception).__name__ == "QueryFailed"
