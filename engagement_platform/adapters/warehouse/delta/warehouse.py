"""The warehouse as Delta Lake tables in a folder or on object storage: a table is a folder of Parquet files and a log.

Anything that reads Delta Lake may read the tables while the platform writes: DuckDB, Polars, Spark.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pyarrow as pa
from deltalake import DeltaTable

from engagement_platform.adapters.warehouse.delta import ndjson, tables, upkeep, writes
from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.delta.tables import Storage
from engagement_platform.adapters.warehouse.port import (
    Conflict,
    Extent,
    Load,
    Parameter,
    Replacement,
    RowOfDay,
    TableUnusable,
    Warehouse,
)
from engagement_platform.domain.errors import Unavailable, redact
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings


class DeltaSnapshot:
    """Keeps the promises of `port.Snapshot` for `upkeep.KEPT_HOURS`: so long no file of the version is removed."""

    def __init__(self, storage: Storage, table: str) -> None:
        self.name = table
        self._storage = storage
        self._handles = {table: _queries().existing(storage, table)}

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return the answer of DuckDB over that version."""
        with _queries().answered(self._storage, sql, parameters, handles=self._handles) as rows:
            return rows.read_all()


_RETIRE_TRIES = 20


def open_delta(settings: Settings) -> Warehouse:
    """Return the warehouse in the folder, or under the URL, of ENGAGEMENT_WAREHOUSE_URI."""
    return DeltaWarehouse(Storage(settings.effective_warehouse_uri))


class DeltaWarehouse:
    """Keeps the promises of `port.Warehouse`. Every method opens the table anew and works on its latest version."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._identities: dict[str, str] = {}

    def ensure(self, table: Table) -> str:
        """Create the table, or its missing columns, and return its identity, which Delta keeps in its metadata."""
        handle = tables.ensure(self._storage, table)
        self._identities[table.name] = identity = str(handle.metadata().id)
        return f"delta:{identity}"

    def has(self, table: Table) -> bool:
        """Say whether the table is there, and change nothing."""
        return tables.find(self._storage, table) is not None

    def extent(self, table: Table) -> Extent:
        """Return how large the files of the latest version are, as the log tells: some milliseconds for a thousand."""
        handle = self._open(table)
        with explained(self._where(table), "reading"):
            return tables.extent(handle)

    def append(self, load: Load, batch: Path) -> None:
        """Append a batch, once. Attempts play no part: a load that failed has left nothing."""
        handle, where = self._writable(load.table), self._where(load.table)
        if not writes.has_load(handle, load, where):
            writes.append(handle, load, ndjson.read(load.table, batch), where)

    def is_loaded(self, load: Load) -> bool:
        """Say whether the load has taken effect. None is ever under way: a commit is there or not."""
        return writes.has_load(self._open(load.table), load, self._where(load.table))

    def replace_day(self, replacement: Replacement, rows: pa.RecordBatchReader) -> int:
        """Replace a day by rows that are written as they come, and become visible in one step."""
        table, where = replacement.table, self._where(replacement.table)
        handle = self._writable(table)
        if writes.is_replaced(handle, replacement):
            return writes.rows_of_day(handle, table, replacement.day, where)
        return writes.replace(handle, replacement, rows, where)

    def replace_day_by_query(self, replacement: Replacement, sql: str, parameters: Mapping[str, Parameter]) -> int:
        """Replace a day by the result of a query, in the types of its table."""
        with _queries().answered(self._storage, sql, parameters, replacement.table) as rows:
            return self.replace_day(replacement, rows)

    def retire(self, replacement: Replacement) -> bool:
        """Keep a replacement from taking effect from now on; say whether it has.

        A mark with its number is committed under the id that its own commit carries. So a process that is about to
        commit it on an older handle gets a Conflict, begins again, finds the mark and is Overtaken. A commit that came
        before the mark makes the mark conflict: then the table is looked at again, and says that it took effect.
        """
        where = self._where(replacement.table)
        for _ in range(_RETIRE_TRIES):
            try:
                return writes.retire(self._open(replacement.table), replacement, where)
            except Conflict:
                continue
        raise Unavailable(f"{where} is written to all the time.", "It is tried again.")

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return the answer of DuckDB over the latest version of the tables that the query names."""
        with _queries().answered(self._storage, sql, parameters) as rows:
            return rows.read_all()

    def locate(self, row: RowOfDay) -> tuple[str, ...] | None:
        """Return the Parquet files that have a row, by the statistics of all and a look into few."""
        if not self._storage.has(row.table):
            return None
        with explained(redact(self._storage.of(row.table)), "reading"):
            return _queries().files_with(tables.open_table(self._storage, row.table), row) or None

    def snapshot(self, table: str) -> DeltaSnapshot:
        """Return the latest version of a table."""
        return DeltaSnapshot(self._storage, table)

    def upkeep(self) -> dict[str, int]:
        """Compact, vacuum and clean up the log of every table of the folder, and of those that were ensured."""
        figures: Counter[str] = Counter()
        for name in sorted({*self._identities, *self._storage.names()}):
            figures.update(upkeep.care_for(tables.open_table(self._storage, name), redact(self._storage.of(name))))
        return dict(figures)

    def _writable(self, table: Table) -> DeltaTable:
        """Return a handle on the latest version, with all columns: another form may have come since `ensure`."""
        return tables.with_columns(self._storage, table, self._open(table))

    def _open(self, table: Table) -> DeltaTable:
        """Return a handle on the latest version. Raises TableUnusable when it is another table than the ensured one."""
        handle = tables.open_table(self._storage, table.name)
        with explained(self._where(table), "reading"):
            identity = str(handle.metadata().id)
        if identity != self._identities.setdefault(table.name, identity):
            raise TableUnusable(
                f"The table in {self._where(table)} was made anew while it was in use.",
                "Its days have to be rebuilt: start the process again.",
            )
        return handle

    def _where(self, table: Table) -> str:
        return redact(self._storage.of(table.name))


def _queries() -> ModuleType:
    """Import what queries take, DuckDB and sqlglot: 50 MB that a stage, which only appends, goes without."""
    from engagement_platform.adapters.warehouse.delta import queries  # noqa: PLC0415

    return queries
