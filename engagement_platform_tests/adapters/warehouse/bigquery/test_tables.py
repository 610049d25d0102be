"""Tables and queries over BigQuery, where they differ from what the contract says of every warehouse."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import tables
from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform.adapters.warehouse.port import QueryFailed, TableUnusable
from engagement_platform.domain.errors import SettingsError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore, store_of
from engagement_platform_tests.adapters.warehouse.rows import batch, events, reader
from engagement_platform_tests.adapters.warehouse.support import ids, load, replacement
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS


def check_as_made(table: bigquery.Table) -> None:
    assert table.description == ENGAGEMENT_EVENTS.meaning
    assert table.time_partitioning.type_ == "DAY"
    assert table.time_partitioning.field == "event_ts"
    assert table.time_partitioning.expiration_ms is None
    assert table.clustering_fields == ["content_id"]
    assert table.require_partition_filter
    assert [(field.name, field.description) for field in table.schema] == [
        (column.name, column.meaning) for column in ENGAGEMENT_EVENTS.columns
    ]
    assert [field.name for field in table.schema if field.mode == "REQUIRED"] == ["id", "event_ts"]


def test_a_table_stays_as_it_was_made(store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    check_as_made(store.table())
    warehouse.append(load(1), batch(tmp_path, events([1])))
    warehouse.replace_day(replacement(1), reader(events([2])))
    check_as_made(store.table())


def test_a_dataset_is_made_where_the_setting_says(store: BigQueryStore, warehouse: BigQueryWarehouse) -> None:
    assert store.client().get_dataset("engagement").location == "EU"


def test_a_dataset_elsewhere_is_not_used(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is in EU") as raised:
        store_of(stand_in, tmp_path, bigquery_location="europe-west1").open().ensure(ENGAGEMENT_EVENTS)
    assert "ENGAGEMENT_BIGQUERY_LOCATION" in str(raised.value)


@pytest.mark.parametrize("location", ["europe-west1", "US"])
def test_without_the_setting_the_location_is_the_datasets(stand_in: StandIn, tmp_path: Path, location: str) -> None:
    made = store_of(stand_in, tmp_path / "state", bigquery_location=location)
    made.open().ensure(ENGAGEMENT_EVENTS)
    opened = store_of(stand_in, tmp_path / "state").open()
    opened.ensure(ENGAGEMENT_EVENTS)
    opened.append(load(1), batch(tmp_path, events([1])))
    opened.replace_day(replacement(1), reader(events([2])))
    assert opened.is_loaded(load(1))
    assert ids(opened) == [2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda fields: [*fields[:-1], bigquery.SchemaField("engagement_pct", "NUMERIC", precision=5, scale=2)], "pct"),
        (lambda fields: [*fields[:-1], bigquery.SchemaField("engagement_pct", "NUMERIC", "REQUIRED")], "REQUIRED"),
    ],
)
def test_a_column_that_holds_less_is_told(
    store: BigQueryStore,
    warehouse: BigQueryWarehouse,
    change: Callable[[list[bigquery.SchemaField]], list[bigquery.SchemaField]],
    told: str,
) -> None:
    store.make_anew(ENGAGEMENT_EVENTS.name, change(tables.schema_of(ENGAGEMENT_EVENTS)))
    with pytest.raises(TableUnusable, match=told) as raised:
        store.open().ensure(ENGAGEMENT_EVENTS)
    assert "rename it" in raised.value.todo


def test_other_partitions_are_told(store: BigQueryStore, warehouse: BigQueryWarehouse) -> None:
    schema = [*tables.schema_of(ENGAGEMENT_EVENTS), bigquery.SchemaField("loaded", "DATE")]
    store.make_anew(ENGAGEMENT_EVENTS.name, schema, partitioned_by="loaded")
    with pytest.raises(TableUnusable, match="partitioned by DAY of loaded"):
        store.open().ensure(ENGAGEMENT_EVENTS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM engagement_events",
        "SELECT id FROM engagement_events WHERE id > 0",
        "SELECT id FROM engagement_events WHERE event_ts > '2024-01-01' OR id = 1",
    ],
)
def test_a_query_over_all_days_is_refused(warehouse: BigQueryWarehouse, sql: str) -> None:
    with pytest.raises(QueryFailed, match="event_ts"):
        warehouse.query(sql)


def test_an_answer_of_several_pages(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.page_rows = 7
    warehouse.append(load(1), batch(tmp_path, events(range(50))))
    assert ids(warehouse) == list(range(50))


def test_a_query_that_would_change_something_is_never_sent(stand_in: StandIn, warehouse: BigQueryWarehouse) -> None:
    with pytest.raises(QueryFailed, match="Only one SELECT"):
        warehouse.query("DELETE FROM engagement_events WHERE event_ts > '2024-01-01'")
    assert stand_in.faults.seen["jobs.insert"] == 1  # the dry run
