"""A version of a table, as queries of one reading see it."""

from collections.abc import Mapping

import pyarrow as pa

from engagement_platform.adapters.warehouse.delta import queries
from engagement_platform.adapters.warehouse.delta.tables import Storage
from engagement_platform.adapters.warehouse.port import Parameter


class DeltaSnapshot:
    """Keeps the promises of `port.Snapshot` for `upkeep.KEPT_HOURS`: so long no file of the version is removed."""

    def __init__(self, storage: Storage, table: str) -> None:
        self.name = table
        self._storage = storage
        self._handles = {table: queries.existing(storage, table)}

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return the answer of DuckDB over that version."""
        with queries.answered(self._storage, sql, parameters, handles=self._handles) as rows:
            return rows.read_all()
