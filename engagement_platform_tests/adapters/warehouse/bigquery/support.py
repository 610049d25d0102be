"""BigQuery over the stand-in, as the tests open it."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import tables
from engagement_platform.adapters.warehouse.bigquery.client import Patience, address_of, open_client
from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.rows import DAY
from engagement_platform_tests.adapters.warehouse.support import warehouse_settings
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

DATASET = "engagement"
QUICK = Patience(request=10, retries=2, uploads=1, job=5, poll=0.01)


class BigQueryStore:
    """One dataset of a project that is reached by some settings."""

    days = (date(1960, 1, 1), date(1969, 12, 31), DAY, date(2159, 12, 31))

    def __init__(self, scratch: Path, patience: Patience, **settings: object) -> None:
        self._settings = warehouse_settings(warehouse="bigquery", **settings)
        self.address = address_of(self._settings)
        self._patience = patience
        self.scratch = scratch

    def open(self, patience: Patience | None = None) -> BigQueryWarehouse:
        return BigQueryWarehouse(self.client(), self.address, self.scratch, patience or self._patience)

    def client(self) -> bigquery.Client:
        return open_client(self.address)

    def table(self, name: str = ENGAGEMENT_EVENTS.name) -> bigquery.Table:
        return self.client().get_table(f"{self.address}.{name}")

    def drop(self, name: str) -> None:
        self.client().delete_table(f"{self.address}.{name}")

    def add_column(self, name: str, column: str) -> None:
        table = self.table(name)
        table.schema = [*table.schema, bigquery.SchemaField(column, "STRING")]
        self.client().update_table(table, ["schema"])

    def drop_column(self, name: str, column: str) -> None:
        self.make_anew(name, [field for field in tables.schema_of(ENGAGEMENT_EVENTS) if field.name != column])

    def retype_column(self, name: str, column: str) -> None:
        schema = [
            bigquery.SchemaField(column, "STRING") if field.name == column else field
            for field in tables.schema_of(ENGAGEMENT_EVENTS)
        ]
        self.make_anew(name, schema)

    def make_anew(self, name: str, schema: Sequence[bigquery.SchemaField], partitioned_by: str = "event_ts") -> None:
        self.drop(name)
        table = bigquery.Table(f"{self.address}.{name}", schema=schema)
        table.time_partitioning = bigquery.TimePartitioning(field=partitioned_by)
        self.client().create_table(table)


def store_of(stand_in: StandIn, scratch: Path, **settings: object) -> BigQueryStore:
    """Return a dataset of the stand-in, which nobody has made yet."""
    given = {"warehouse_uri": f"{stand_in.project}.{DATASET}", "bigquery_endpoint": stand_in.address}
    return BigQueryStore(scratch, QUICK, **given | settings)
