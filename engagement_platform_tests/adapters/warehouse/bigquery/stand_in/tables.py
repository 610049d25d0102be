"""Datasets and tables, and the rows in DuckDB. Whoever uses it holds `lock`."""

import dataclasses
import itertools
import threading
import time
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import ApiError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.values import ARROW, DUCKDB, FORMER

_FIRST_DAY, _LAST_DAY = date(1960, 1, 1), date(2159, 12, 31)
UNPARTITIONED = "__UNPARTITIONED__"


@dataclasses.dataclass
class Stored:
    """One table: its resource, as the API shows it."""

    resource: dict[str, Any]
    past: list[tuple[datetime, pa.Table]] = dataclasses.field(default_factory=list)
    """What it was before it was written to, and when that was."""

    @property
    def name(self) -> str:
        """project:dataset.table, as in BigQuery's messages."""
        reference = self.resource["tableReference"]
        return f"{reference['projectId']}:{reference['datasetId']}.{reference['tableId']}"

    @property
    def place(self) -> str:
        """Its name in DuckDB."""
        reference = self.resource["tableReference"]
        return f'"{reference["datasetId"]}"."{reference["tableId"]}"'

    @property
    def fields(self) -> list[dict[str, Any]]:
        """Its columns: name, type by the older names, mode."""
        fields: list[dict[str, Any]] = self.resource["schema"]["fields"]
        return fields

    @property
    def day_column(self) -> str | None:
        """The column by which it is partitioned."""
        column: str | None = (self.resource.get("timePartitioning") or {}).get("field")
        return column

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(field["name"], ARROW[field["type"]]) for field in self.fields])


class Tables:
    """All datasets of one project."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.lock = threading.RLock()
        self.engine = duckdb.connect()
        self.engine.execute("SET TimeZone = 'UTC'")
        self._datasets: dict[str, dict[str, Any]] = {}
        self._tables: dict[tuple[str, str], Stored] = {}
        self._clock = itertools.count(time.time_ns() // 1_000_000)

    # Datasets: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets

    def dataset(self, name: str) -> dict[str, Any]:
        if name not in self._datasets:
            raise ApiError("notFound", f"Not found: Dataset {self.project}:{name}")
        return self._datasets[name]

    def create_dataset(self, resource: dict[str, Any]) -> dict[str, Any]:
        name = resource["datasetReference"]["datasetId"]
        if name in self._datasets:
            raise ApiError("duplicate", f"Already Exists: Dataset {self.project}:{name}")
        self._datasets[name] = resource | {"location": resource.get("location") or "US"}
        self.engine.execute(f'CREATE SCHEMA "{name}"')
        return self._datasets[name]

    def any_dataset(self) -> str:
        if not self._datasets:
            raise ApiError("notFound", "Not found: Dataset")
        return next(iter(self._datasets))

    # Tables: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables

    def table(self, dataset: str, name: str) -> Stored:
        self.dataset(dataset)
        if (dataset, name) not in self._tables:
            raise ApiError("notFound", f"Not found: Table {self.project}:{dataset}.{name}")
        return self._tables[dataset, name]

    def create_table(self, dataset: str, resource: dict[str, Any]) -> Stored:
        """https://cloud.google.com/bigquery/docs/creating-partitioned-tables and .../creating-clustered-tables"""
        self.dataset(dataset)
        name = resource["tableReference"]["tableId"]
        if (dataset, name) in self._tables:
            raise ApiError("duplicate", f"Already Exists: Table {self.project}:{dataset}.{name}")
        stored = Stored(resource | {"type": "TABLE", "creationTime": str(next(self._clock)), "etag": self._etag()})
        stored.resource["schema"] = {"fields": [_normal(field) for field in resource["schema"]["fields"]]}
        self._check(stored)
        columns = ", ".join(_column(field) for field in stored.fields)
        self.engine.execute(f"CREATE TABLE {stored.place} ({columns})")
        self._tables[dataset, name] = stored
        return stored

    def _check(self, stored: Stored) -> None:
        kinds = {field["name"]: field["type"] for field in stored.fields}
        if len({name.lower() for name in kinds}) != len(stored.fields):
            raise ApiError("invalid", "Duplicate column names")
        if stored.day_column is not None and kinds.get(stored.day_column) not in ("DATE", "TIMESTAMP", "DATETIME"):
            raise ApiError("invalid", f"The field specified for partitioning cannot be used: {stored.day_column}")
        clustered = (stored.resource.get("clustering") or {}).get("fields", [])
        if len(clustered) > 4 or not set(clustered) <= kinds.keys():
            raise ApiError("invalid", f"Invalid fields for clustering: {clustered}")

    def _etag(self) -> str:
        return f'"{next(self._clock)}"'

    def change_table(self, dataset: str, name: str, resource: dict[str, Any], etag: str | None) -> Stored:
        """Add columns. Nothing else may change: https://cloud.google.com/bigquery/docs/managing-table-schemas

        With an etag (If-Match) only when the table is still as it was then: 'conditionNotMet'. Names are not told apart
        by case: https://cloud.google.com/bigquery/docs/schemas#column_names
        """
        stored = self.table(dataset, name)
        if etag is not None and etag != stored.resource["etag"]:
            raise ApiError("conditionNotMet", "Precondition Failed")
        fields = [_normal(field) for field in resource["schema"]["fields"]]
        added = fields[len(stored.fields) :]
        if fields[: len(stored.fields)] != stored.fields or any(field["mode"] == "REQUIRED" for field in added):
            raise ApiError("invalid", f"Provided Schema does not match Table {stored.name}.")
        if len({field["name"].lower() for field in fields}) != len(fields):
            raise ApiError("invalid", "Duplicate column names")
        self._remember(stored)
        for field in added:
            self.engine.execute(f"ALTER TABLE {stored.place} ADD COLUMN {_column(field)}")
        stored.resource = stored.resource | {"schema": {"fields": fields}, "etag": self._etag()}
        return stored

    def delete_table(self, dataset: str, name: str) -> None:
        stored = self.table(dataset, name)
        self.engine.execute(f"DROP TABLE {stored.place}")
        del self._tables[dataset, name]

    def of_dataset(self, dataset: str) -> list[Stored]:
        self.dataset(dataset)
        return [stored for (where, _), stored in self._tables.items() if where == dataset]

    def shown(self, dataset: str, name: str) -> dict[str, Any]:
        """Return the resource with numRows and numBytes: the latter is an estimate of the stand-in's.

        https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#Table
        """
        stored = self.table(dataset, name)
        [(rows,)] = self.engine.execute(f"SELECT count(*) FROM {stored.place}").fetchall()
        return stored.resource | {"numRows": str(rows), "numBytes": str(100 * rows)}

    # Rows

    def partitions(self, stored: Stored, rows: pa.Table | None = None) -> set[str]:
        """Return the partitions that the table, or rows for it, have.

        Rows of days before 1960 and after 2159 share one:
        https://cloud.google.com/bigquery/docs/partitioned-tables#date_timestamp_partitioned_tables
        """
        if stored.day_column is None:
            return set()
        source = stored.place
        if rows is not None:
            self.engine.register("incoming", rows)
            source = "incoming"
        found = self.engine.execute(f'SELECT DISTINCT CAST("{stored.day_column}" AS DATE) FROM {source}').fetchall()
        return {partition_of(day) for (day,) in found}

    def _remember(self, stored: Stored) -> None:
        """Keep what a table is before it is changed, for queries of the past."""
        rows = self.engine.sql(f"SELECT * FROM {stored.place}").to_arrow_table().cast(stored.schema)
        stored.past.append((datetime.now(UTC), rows))

    def as_of(self, stored: Stored, moment: datetime) -> pa.Table | None:
        """Return what a table was at a moment; None where it is still that.

        https://cloud.google.com/bigquery/docs/access-historical-data
        """
        if moment > datetime.now(UTC):
            raise ApiError("invalidQuery", f"Invalid snapshot time {moment} for table {stored.name} is in the future")
        return next((rows for changed, rows in stored.past if changed > moment), None)

    def write(self, stored: Stored, rows: pa.Table, replace: str | None, stop_half_way: bool = False) -> None:
        """Append rows, or replace a partition or, with `*`, all rows, in one step.

        'Each action is atomic and only occurs if BigQuery is able to complete the job successfully':
        https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
        """
        self._remember(stored)
        self.engine.execute("BEGIN")
        try:
            if replace is not None:
                where = "TRUE" if replace == "*" else f"strftime(\"{stored.day_column}\", '%Y%m%d') = '{replace}'"
                self.engine.execute(f"DELETE FROM {stored.place} WHERE {where}")
            chosen = rows.slice(0, rows.num_rows // 2) if stop_half_way else rows
            self.engine.register("incoming", chosen)
            self.engine.execute(f"INSERT INTO {stored.place} SELECT * FROM incoming")
        except duckdb.Error:
            self.engine.execute("ROLLBACK")
            raise
        self.engine.execute("ROLLBACK" if stop_half_way else "COMMIT")


def partition_of(day: date | None) -> str:
    """Return the id of a day's partition."""
    if day is None:
        return "__NULL__"
    return f"{day:%Y%m%d}" if _FIRST_DAY <= day <= _LAST_DAY else UNPARTITIONED


def _normal(field: dict[str, Any]) -> dict[str, Any]:
    kind = FORMER.get(field["type"], field["type"])
    if kind not in DUCKDB or field.get("mode", "NULLABLE") == "REPEATED":
        raise ApiError("notImplemented", f"The stand-in has no columns of type {field.get('mode')} {kind}")
    return field | {"type": kind, "mode": field.get("mode") or "NULLABLE"}


def _column(field: dict[str, Any]) -> str:
    return f'"{field["name"]}" {DUCKDB[field["type"]]}'
