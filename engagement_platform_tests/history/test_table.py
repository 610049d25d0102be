"""The statements on a stream's table, for the packaged stream and for one of another form."""

import sqlglot

from engagement_platform.history.table import statement
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS

NAMES = ("figures_of_day", "ids_of_day", "ids_anywhere", "values_of", "outside", "days_of_user")


def test_every_statement_is_one_of_bigquerys_dialect() -> None:
    for stream in (PACKAGED, ORDERS, PINGS):
        for name in NAMES:
            text = statement(stream, name, ids="1, 2", column="`country`", most=10)
            assert "{" not in text
            assert sqlglot.parse_one(text, dialect="bigquery").find(sqlglot.exp.Table).name == stream.table  # type: ignore[union-attr]


def test_a_day_is_compared_by_what_the_views_add_up() -> None:
    packaged_one = statement(PACKAGED, "figures_of_day")
    assert "IFNULL(`duration_ms`, 0) AS ms" in packaged_one
    assert "`content_id` IS NOT NULL AND `slug` IS NULL AS without_content" in packaged_one
    assert "`order_no` AS id, IFNULL(`cents`, 0) AS ms, FALSE AS without_content" in statement(ORDERS, "figures_of_day")
    assert "`id` AS id, 0 AS ms, FALSE AS without_content" in statement(PINGS, "figures_of_day")
