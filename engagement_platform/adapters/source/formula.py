"""Reads a day as a stream's statement gives it now, ascending by id; by several statements in one snapshot."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from engagement_platform.adapters import sql
from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.selected import rows_between, without_nan
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.days import bounds
from engagement_platform.domain.stream_table import table_of

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = sql.load(__package__, "history.sql")


@contextmanager
def opened(*origins: Origin) -> "Iterator[list[Formula]]":
    """Open a formula for each statement; all of them see one moment. Raises Unavailable and Refused."""
    schemas = [schema_now(origin) for origin in origins]
    with ExitStack() as stack:
        formulas = list[Formula]()
        for origin, schema in zip(origins, schemas, strict=True):
            cursor = stack.enter_context(session.connect_arrow(origin, "diff"))
            if formulas:
                with session.reaching_arrow(origin):
                    cursor.execute(f"SET TRANSACTION SNAPSHOT '{formulas[0].snapshot()}'")
            formulas.append(Formula(origin, schema, cursor))
        yield formulas


class Formula:
    """One statement, in one snapshot."""

    def __init__(self, origin: Origin, schema: Schema, cursor: Any) -> None:
        self.schema = schema
        self._origin, self._cursor = origin, cursor

    def snapshot(self) -> str:
        """Return the name of the snapshot, which other sessions may take while this one is open."""
        with session.reaching_arrow(self._origin):
            self._cursor.execute(_SQL["export"])
            return str(self._cursor.fetchone()[0])

    def day(self, day: date) -> "Iterator[pa.Table]":
        """Yield the rows of a day, ascending by id, as the warehouse has them; an empty chunk comes first."""
        import pyarrow as pa  # noqa: PLC0415

        from engagement_platform.adapters.warehouse.schema import arrow_schema  # noqa: PLC0415

        statement = rows_between(self.schema, *bounds(day), "ORDER BY event.{id}")
        types = arrow_schema(table_of(self._origin.stream, self.schema))
        yield types.empty_table()
        with session.reaching_arrow(self._origin):
            self._cursor.execute(self._origin.plain(statement))
            for batch in without_nan(self.schema, self._cursor.fetch_record_batch()):
                if batch.num_rows:
                    yield pa.Table.from_batches([batch.select(types.names).cast(types)])
