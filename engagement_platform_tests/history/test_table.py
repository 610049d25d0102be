"""The statements on a stream's table, for the packaged stream and for one of another form."""

import sqlglot

from engagement_platform.domain.columns import Base, Column, Schema, Type
from engagement_platform.domain.reconciliation import comparison_of
from engagement_platform.history.table import figures_of_day, statement
from engagement_platform_tests.streams import ENGAGEMENT, ORDERS, PACKAGED, PINGS

NAMES = ("ids_of_day", "ids_anywhere", "values_of", "outside")


def table_of(text: str) -> str:
    table = sqlglot.parse_one(text, dialect="bigquery").find(sqlglot.exp.Table)
    assert table is not None
    return table.name


def test_every_statement_is_one_of_bigquerys_dialect() -> None:
    for stream in (PACKAGED, ORDERS, PINGS):
        for name in NAMES:
            text = statement(stream, name, ids="1, 2", column="`country`", most=10)
            assert "{" not in text
            assert table_of(text) == stream.table


def test_a_day_is_compared_by_what_the_views_add_up_and_by_the_own_columns() -> None:
    comparison = comparison_of(PACKAGED, ENGAGEMENT, {"id", "duration_ms", "device", "engagement_pct"})
    text = figures_of_day(PACKAGED, comparison)
    assert table_of(text) == "engagement_events"
    assert "`duration_ms` AS m0" in text
    assert "CONCAT(IFNULL(TO_HEX(SHA256(`device`)), '-'), ',')" in text
    assert "`engagement_pct` AS p0" in text
    assert "`content_id` IS NOT NULL AND `slug` IS NULL AS j0" in text


def test_a_stream_without_measures_is_compared_by_its_ids_and_own_columns() -> None:
    schema = Schema((Column("id", Type(Base.INTEGER)), Column("at", Type(Base.TIMESTAMP))), "id", "at", "id")
    assert "'' AS digest" in figures_of_day(PINGS, comparison_of(PINGS, schema, {"id"}))
    text = figures_of_day(PINGS, comparison_of(PINGS, schema, {"id", "at"}))
    assert "UNIX_MICROS(`at`)" in text
    assert table_of(text) == "pings"
