"""The tables as BigQuery has them: partitioned by day, clustered, and closed to queries without a filter on the day."""

from google.api_core import exceptions as google
from google.api_core.retry import Retry
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery.client import Place
from engagement_platform.adapters.warehouse.port import TableUnusable
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.table import ENGAGEMENT_EVENTS, Column, Kind, Table
from engagement_platform.settings import variable

_FORMER = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "DECIMAL": "NUMERIC"}
"""The API's older names of types, which it still answers with."""


def schema_of(table: Table) -> list[bigquery.SchemaField]:
    """Return the columns of a table, with their meanings."""
    return [
        bigquery.SchemaField(column.name, column.kind.value, mode=_mode(table, column), description=column.meaning)
        for column in table.columns
    ]


def _mode(table: Table, column: Column) -> str:
    """Only `engagement_events` has required columns, for no query writes it.

    The columns of a query's result are NULLABLE, and BigQuery does not write them to a REQUIRED one.
    """
    return "REQUIRED" if column.required and table is ENGAGEMENT_EVENTS else "NULLABLE"


def partitioning_of(table: Table) -> bigquery.TimePartitioning:
    """Return by what a table is partitioned."""
    return bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY, field=table.day)


def reference(place: Place, table: Table) -> bigquery.TableReference:
    """Return the name of a table."""
    return bigquery.DatasetReference(place.project, place.dataset).table(table.name)


def ensure_dataset(client: bigquery.Client, place: Place, retry: Retry, timeout: float) -> str:
    """Return the location of the dataset, which is created when it is missing. Raises SettingsError."""
    wanted = bigquery.Dataset(bigquery.DatasetReference(place.project, place.dataset))
    try:
        found = client.get_dataset(wanted.reference, retry=retry, timeout=timeout)
    except google.NotFound:
        wanted.location = place.location
        found = client.create_dataset(wanted, exists_ok=True, retry=retry, timeout=timeout)
    location = str(found.location)
    if place.location is not None and place.location.upper() != location.upper():
        raise SettingsError(
            f"The dataset {place} is in {location}, but {variable('bigquery_location')} is {place.location}.",
            f"Set it to {location} or leave it out: a dataset cannot be moved.",
        )
    return location


def ensure_table(client: bigquery.Client, place: Place, table: Table, retry: Retry, timeout: float) -> bigquery.Table:
    """Return a table, which is created when it is missing. Raises TableUnusable."""
    found = find_table(client, place, table, retry, timeout)
    if found is None:
        found = client.create_table(_wanted(place, table), exists_ok=True, retry=retry, timeout=timeout)
        check(found, table)
    return found


def find_table(
    client: bigquery.Client, place: Place, table: Table, retry: Retry, timeout: float
) -> bigquery.Table | None:
    """Return a table, or None where there is none. Raises TableUnusable."""
    try:
        found = client.get_table(reference(place, table), retry=retry, timeout=timeout)
    except google.NotFound:
        return None
    check(found, table)
    return found


def identity_of(found: bigquery.Table) -> str:
    """Return what tells a table from another one that had its name before."""
    if found.created is None:
        raise TableUnusable(f"{found.reference} has no time of creation.", "Let the name stand for a plain table.")
    return f"bigquery:{found.reference}@{round(found.created.timestamp() * 1_000)}"


def _wanted(place: Place, table: Table) -> bigquery.Table:
    wanted = bigquery.Table(reference(place, table), schema=schema_of(table))
    wanted.description = table.meaning
    wanted.time_partitioning = partitioning_of(table)
    wanted.clustering_fields = list(table.clustered_by)
    wanted.require_partition_filter = True
    return wanted


def check(found: bigquery.Table, table: Table) -> None:
    """Raise TableUnusable, with every difference, when a table has not the columns and partitions it needs.

    Clustering, descriptions and the filter that is required may be changed: nothing depends on them.
    """
    differences = [*_column_differences(found, table), *_partition_differences(found, table)]
    if found.table_type != "TABLE":
        differences = [f"it is a {found.table_type}, not a table"]
    if differences:
        raise TableUnusable(
            f"{found.reference} is not as the platform needs it: {'; '.join(differences)}.",
            "Change it back, or rename it: it is made again, and its days are rebuilt with "
            "`engagement-platform backfill`.",
        )


def _column_differences(found: bigquery.Table, table: Table) -> list[str]:
    has = {field.name: field for field in found.schema}
    needed = {field.name: field for field in schema_of(table)}
    missing = [f"column {name} is missing" for name in needed if name not in has]
    extra = [f"column {name} is not the platform's" for name in has if name not in needed]
    both = [(has[name], needed[name]) for name in needed if name in has]
    changed = [
        f"column {field.name} is {_type(field)}, not {_type(wanted)}"
        for field, wanted in both
        if _type(field) != _type(wanted)
    ]
    modes = [
        f"column {field.name} is {field.mode}, not {wanted.mode}"
        for field, wanted in both
        if field.mode == "REPEATED" or (field.mode == "REQUIRED" and wanted.mode != "REQUIRED")
    ]
    return missing + extra + changed + modes


def _type(field: bigquery.SchemaField) -> str:
    """Return the type of a column; a NUMERIC that holds less than any other is another type."""
    kind = _FORMER.get(field.field_type, field.field_type)
    limited = kind == Kind.NUMERIC.value and field.precision is not None
    return f"{kind}({field.precision}, {field.scale or 0})" if limited else kind


def _partition_differences(found: bigquery.Table, table: Table) -> list[str]:
    by = found.time_partitioning
    if by is not None and by.type_ == bigquery.TimePartitioningType.DAY and by.field == table.day:
        return []
    described = "nothing" if by is None else f"{by.type_} of {by.field or 'the time of loading'}"
    return [f"it is partitioned by {described}, not by DAY of {table.day}"]
