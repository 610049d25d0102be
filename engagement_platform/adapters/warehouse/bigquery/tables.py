"""The tables as BigQuery has them: partitioned by day, clustered, and closed to queries without a filter on the day.

A column that the platform needs and the table lacks is added, and null in the rows that are there; one that the
platform does not know stays, and is null in the rows that come.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from google.api_core import exceptions as google
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery.client import DatasetAddress
from engagement_platform.adapters.warehouse.bigquery.jobs import Jobs
from engagement_platform.adapters.warehouse.port import TableUnusable
from engagement_platform.adapters.warehouse.schema import ANOTHER_NAME, arrow_schema, lookalikes
from engagement_platform.domain.errors import SettingsError, Unavailable
from engagement_platform.domain.table import Column, Kind, Table
from engagement_platform.settings import variable

_FORMER = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC"}
"""The API's older names of types, which it still answers with."""

_OTHERS: Mapping[str, Callable[[], pa.DataType]] = {
    Kind.INT64.value: pa.int64,
    Kind.FLOAT64.value: pa.float64,
    Kind.STRING.value: pa.string,
    Kind.BOOL.value: pa.bool_,
    Kind.BYTES.value: pa.binary,
    Kind.NUMERIC.value: lambda: pa.decimal128(38, 9),
    "BIGNUMERIC": lambda: pa.decimal256(76, 38),
    Kind.TIMESTAMP.value: lambda: pa.timestamp("us", tz="UTC"),
    Kind.DATE.value: pa.date32,
    "DATETIME": lambda: pa.timestamp("us"),
    "TIME": lambda: pa.time64("us"),
}
"""Types of columns that the platform does not know, as a file of a day has them to say null."""

_TRIES = 20


def schema_of(table: Table) -> list[bigquery.SchemaField]:
    """Return the columns of a table, with their meanings."""
    return [
        bigquery.SchemaField(column.name, column.kind.value, mode=_mode(table, column), description=column.meaning)
        for column in table.columns
    ]


def _mode(table: Table, column: Column) -> str:
    """Only the table of a stream has required columns, for no query writes it.

    The columns of a query's result are NULLABLE, and BigQuery does not write them to a REQUIRED one.
    """
    return "REQUIRED" if column.required and table.is_of_stream else "NULLABLE"


def partitioning_of(table: Table) -> bigquery.TimePartitioning:
    """Return by what a table is partitioned."""
    return bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY, field=table.day)


def load_config(table: Table, kind: str) -> bigquery.LoadJobConfig:
    """Return how a file is loaded: all of it or nothing, into the columns that the table has when the job runs.

    A schema of ours would have to be the table's at that moment, and another process may add a column before it:
    https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad (schema)
    """
    return bigquery.LoadJobConfig(
        source_format=kind,
        time_partitioning=partitioning_of(table),
        clustering_fields=list(table.clustered_by),
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        autodetect=False,
        max_bad_records=0,
        ignore_unknown_values=False,
    )


def reference(address: DatasetAddress, table: Table) -> bigquery.TableReference:
    """Return the name of a table."""
    return bigquery.DatasetReference(address.project, address.dataset).table(table.name)


def ensure_dataset(jobs: Jobs) -> str:
    """Return the location of the dataset, which is created when it is missing. Raises SettingsError."""
    address, timeout = jobs.address, jobs.patience.request
    dataset = bigquery.Dataset(bigquery.DatasetReference(address.project, address.dataset))
    try:
        present = jobs.client.get_dataset(dataset.reference, retry=jobs.retry, timeout=timeout)
    except google.NotFound:
        dataset.location = address.location
        present = jobs.client.create_dataset(dataset, exists_ok=True, retry=jobs.retry, timeout=timeout)
    location = str(present.location)
    if address.location is not None and address.location.upper() != location.upper():
        raise SettingsError(
            f"The dataset {address} is in {location}, but {variable('bigquery_location')} is {address.location}.",
            f"Set it to {location} or leave it out: a dataset cannot be moved.",
        )
    return location


def ensure_table(jobs: Jobs, table: Table) -> bigquery.Table:
    """Return a table, which is created, or gets columns, where it lacks them. Raises TableUnusable, Unavailable."""
    present = find_table(jobs, table) or jobs.client.create_table(
        _described(jobs.address, table), exists_ok=True, retry=jobs.retry, timeout=jobs.patience.request
    )
    return with_columns(jobs, present, table)


def with_columns(jobs: Jobs, present: bigquery.Table, table: Table) -> bigquery.Table:
    """Return a table that has all columns of `table`, the missing ones added behind the others.

    Each change names the state that it was made for, so that of two processes neither takes away the other's column.
    Raises TableUnusable when the table has one of them in another form, Unavailable.
    """
    for _ in range(_TRIES):
        check(present, table)
        names = {field.name for field in present.schema}
        missing = [field for field in schema_of(table) if field.name not in names]
        if not missing:
            return present
        present.schema = [*present.schema, *missing]
        try:
            return jobs.client.update_table(present, ["schema"], retry=jobs.retry, timeout=jobs.patience.request)
        except google.PreconditionFailed:  # a faster process has changed it
            present = get_table(jobs, present.reference)
    raise Unavailable(f"{present.reference} is changed all the time, and gets no new column.", "It is tried again.")


def arrow_schema_of(present: Sequence[bigquery.SchemaField], table: Table) -> pa.Schema:
    """Return the columns of a file for a table with these fields: `table`'s in its types, and what is beside them."""
    own = arrow_schema(table)
    return pa.schema(
        [
            own.field(field.name) if field.name in own.names else pa.field(field.name, _OTHERS[_name(field)]())
            for field in present
        ]
    )


def beside(present: bigquery.Table, table: Table) -> list[str]:
    """Return what a query selects to leave the columns null that only the table has."""
    own = {column.name for column in table.columns}
    return [f"CAST(NULL AS {_name(field)}) AS `{field.name}`" for field in present.schema if field.name not in own]


def get_table(jobs: Jobs, name: bigquery.TableReference) -> bigquery.Table:
    """Return a table as it is. Raises Google's errors, NotFound among them."""
    return jobs.client.get_table(name, retry=jobs.retry, timeout=jobs.patience.request)


def find_table(jobs: Jobs, table: Table) -> bigquery.Table | None:
    """Return a table, or None where there is none. Raises TableUnusable."""
    try:
        present = get_table(jobs, reference(jobs.address, table))
    except google.NotFound:
        return None
    check(present, table)
    return present


def identity_of(present: bigquery.Table) -> str:
    """Return what tells a table from another one that had its name before."""
    if present.created is None:
        raise TableUnusable(f"{present.reference} has no time of creation.", "Let the name stand for a plain table.")
    return f"bigquery:{present.reference}@{round(present.created.timestamp() * 1_000)}"


def _described(address: DatasetAddress, table: Table) -> bigquery.Table:
    made = bigquery.Table(reference(address, table), schema=schema_of(table))
    made.description = table.meaning
    made.time_partitioning = partitioning_of(table)
    made.clustering_fields = list(table.clustered_by)
    made.require_partition_filter = True
    return made


def check(present: bigquery.Table, table: Table) -> None:
    """Raise TableUnusable, with every difference, when a table has not the columns and partitions it needs.

    Clustering, descriptions and the filter that is required may be changed: nothing depends on them.
    """
    differences = [*_column_differences(present, table), *_partition_differences(present, table)]
    if present.table_type != "TABLE":
        differences = [f"it is a {present.table_type}, not a table"]
    if differences:
        raise TableUnusable(
            f"{present.reference} is not as the platform needs it: {'; '.join(differences)}.",
            f"Change the table back; or rename it: it is made again, and its days are rebuilt with "
            f"`engagement-platform backfill`. {ANOTHER_NAME}",
        )


def _column_differences(present: bigquery.Table, table: Table) -> list[str]:
    has = {field.name: field for field in present.schema}
    needed = {field.name: field for field in schema_of(table)}
    missing = [f"column {name} is missing" for name in needed if name not in has and needed[name].mode == "REQUIRED"]
    missing += lookalikes([name for name in needed if name not in has], has)
    extra = [
        f"column {name} is not the platform's, and is {field.mode} {field.field_type}: it cannot be left null"
        for name, field in has.items()
        if name not in needed and (field.mode != "NULLABLE" or _name(field) not in _OTHERS)
    ]
    both = [(has[name], needed[name]) for name in needed if name in has]
    changed = [
        f"column {field.name} is {_type(field)}, not {_type(expected)}"
        for field, expected in both
        if _type(field) != _type(expected)
    ]
    modes = [
        f"column {field.name} is {field.mode}, not {expected.mode}"
        for field, expected in both
        if field.mode == "REPEATED" or (field.mode == "REQUIRED" and expected.mode != "REQUIRED")
    ]
    return missing + extra + changed + modes


def _type(field: bigquery.SchemaField) -> str:
    """Return the type of a column; a NUMERIC that holds less than any other is another type."""
    kind = _name(field)
    limited = kind == Kind.NUMERIC.value and field.precision is not None
    return f"{kind}({field.precision}, {field.scale or 0})" if limited else kind


def _name(field: bigquery.SchemaField) -> str:
    """Return the name of a column's type in SQL."""
    return _FORMER.get(field.field_type, field.field_type)


def _partition_differences(present: bigquery.Table, table: Table) -> list[str]:
    by = present.time_partitioning
    if by is not None and by.type_ == bigquery.TimePartitioningType.DAY and by.field == table.day:
        return []
    described = "nothing" if by is None else f"{by.type_} of {by.field or 'the time of loading'}"
    return [f"it is partitioned by {described}, not by DAY of {table.day}"]
