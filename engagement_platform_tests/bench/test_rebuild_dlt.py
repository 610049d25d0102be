"""The peer gets the rows that the rebuild reads: else the two could not be compared."""

import psycopg

from engagement_platform.adapters.source.describe import schema_now
from engagement_platform_tests.bench.bench_rebuild_dlt import query
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streaming import insert


def test_its_statement_brings_each_column_and_row_of_the_day(source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as owner:
        insert(owner, 3)
    with psycopg.connect(source_db.dsn) as reader:
        rows = reader.execute(query("2000-01-01", "2100-01-01").encode())
        assert rows.description is not None
        schema = schema_now(origin(source_db.dsn))
        assert [column.name for column in rows.description] == [column.name for column in schema.columns]
        assert len(rows.fetchall()) == 3
