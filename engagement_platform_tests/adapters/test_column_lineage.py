"""What columns are made from, as their SQL says it."""

from engagement_platform.adapters.column_lineage import BIGQUERY, POSTGRES, lineage_of
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, PACKAGED

SOURCE = {table: [one.name for one in needed] for table, needed in PACKAGED.tables.items()}
EVENTS = {ENGAGEMENT_EVENTS.name: [column.name for column in ENGAGEMENT_EVENTS.columns]}


def test_the_packaged_statement_tells_the_origin_of_every_column() -> None:
    lineage = lineage_of(PACKAGED.enriched, POSTGRES, SOURCE)
    assert set(lineage) == {column.name for column in ENGAGEMENT_EVENTS.columns}
    assert all(lineage.values())
    assert lineage["engagement_pct"] == (("content", "length_seconds"), ("engagement_events", "duration_ms"))
    assert lineage["title"] == (("content", "title"),)


def test_every_packaged_mart_tells_the_origin_of_its_columns() -> None:
    for mart in PACKAGED.marts.values():
        lineage = lineage_of(mart.query, BIGQUERY, EVENTS)
        assert mart.stated is not None
        assert set(lineage) == {column.name for column in mart.stated.columns}
        assert lineage["engagement_seconds"] == (("engagement_events", "engagement_seconds"),)
        assert lineage["day"] == (), "it is a parameter"


def test_columns_are_followed_through_queries_within_queries_and_joins() -> None:
    sql = """
        WITH sold AS (SELECT o.id, c.name FROM shop.orders AS o JOIN customers AS c USING (id))
        SELECT id, upper(name) AS shouted, 1 AS one, (SELECT max(at) FROM visits WHERE visits.id = sold.id) AS last
          FROM sold
    """
    tables = {"shop.orders": ["id"], "customers": ["id", "name"], "visits": ["id", "at"]}
    lineage = lineage_of(sql, POSTGRES, tables)
    assert lineage["shouted"] == (("customers", "name"),)
    assert lineage["last"] == (("visits", "at"),)
    assert lineage["one"] == ()
    assert ("orders", "id") in lineage["id"]


def test_of_what_cannot_be_read_nothing_is_told() -> None:
    assert lineage_of("SELECT FROM WHERE", POSTGRES, SOURCE) == {}
    assert lineage_of("", BIGQUERY, {}) == {}
