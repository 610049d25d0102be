"""The columns of the warehouse's tables, and what each is made from, as materializations tell them.

Told by the runs that settle or backfill days, which know the types and may take the time to read the SQL; not by those
that refresh today's tables every few minutes, for Dagster keeps what each of them tells.
"""

import logging
from collections.abc import Iterable, Mapping

import dagster as dg

from engagement_platform.adapters.column_lineage import BIGQUERY, POSTGRES, Lineage, lineage_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.marts import Mart
from engagement_platform.domain.table import Table
from engagement_platform.history.marts import table_of_mart
from engagement_platform.orchestration.assets import bare_name, source_key
from engagement_platform.settings import Settings

log = logging.getLogger("engagement_platform.columns")

Keys = Mapping[str, dg.AssetKey]
"""Name of a table, without its schema -> its asset."""
Metadata = dict[str, dg.TableSchema | dg.TableColumnLineage]


def events_described(stream: EventStream, settings: Settings) -> Metadata:
    """Return the metadata of the table of the events; nothing where its columns cannot be read now."""
    columns = {table: [one.name for one in needed] for table, needed in stream.tables.items()}
    keys = {bare_name(table).rpartition(".")[2]: source_key(table) for table in stream.tables}
    try:
        return described(table_now(settings), lineage_of(stream.enriched, POSTGRES, columns), keys)
    except EngagementError as error:  # the rebuild is done all the same
        log.warning("the columns of %s are not told: %s", stream.table, error)
        return {}


def mart_described(stream: EventStream, mart: Mart, settings: Settings, keys: Keys) -> Metadata:
    """Return the metadata of a mart; `keys` are those of the tables of the warehouse."""
    try:
        events = table_now(settings)
        read = [events, *(table_of_mart(stream, stream.marts[name], events) for name in mart.reads)]
        columns = {table.name: [column.name for column in table.columns] for table in read}
        return described(table_of_mart(stream, mart, events), lineage_of(mart.query, BIGQUERY, columns), keys)
    except EngagementError as error:
        log.warning("the columns of %s are not told: %s", mart.name, error)
        return {}


def described(table: Table, lineage: Lineage, keys: Keys) -> Metadata:
    """Return a table's columns, each with what it is made from, in words and as Dagster and OpenLineage take it."""
    made_from = {
        column: [dg.TableColumnDep(asset_key=keys[name], column_name=of) for name, of in deps if name in keys]
        for column, deps in lineage.items()
    }
    told: Metadata = {"dagster/column_schema": columns_of(table, lineage)}
    if any(made_from.values()):
        told["dagster/column_lineage"] = dg.TableColumnLineage(deps_by_column=made_from)
    return told


def columns_of(table: Table, lineage: Lineage | None = None) -> dg.TableSchema:
    """Return the columns as the UI shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.kind.value,
                description=_said(column.meaning, (lineage or {}).get(column.name, ())),
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ]
    )


def _said(meaning: str, made_from: Iterable[tuple[str, str]]) -> str:
    """Return a column's meaning with what it is made from: the UI that is free shows no lineage of columns."""
    sources = ", ".join(f"{table}.{column}" for table, column in made_from)
    return f"{meaning} From {sources}.".strip() if sources else meaning
