"""What the platform asks of a warehouse. Two adapters keep these promises: `delta` and `bigquery`.

Every write has an id, or a growing number, that the warehouse keeps with the data, so that a write that is sent twice
takes effect once. One contract suite holds both adapters to what stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.domain.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

Parameter = str | int | date | datetime


@dataclass(frozen=True, slots=True)
class Load:
    """One batch of a stream on its way into its table."""

    id: str
    """Made from the topic's identity and the offset ranges; letters, digits, `_` and `-`, at most 200."""
    writer: str
    """The stage that cut the batch; of the same characters."""
    version: int
    """Grows by one with every load of the writer; of two loads of one writer the later has the higher."""
    table: Table
    """With at least the columns of the batch's lines."""
    attempt: int = 0
    """Raised when the warehouse has tried the load and failed, for such an id is used up."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One replacement of a day of a table."""

    table: Table
    day: date
    number: int
    """Grows with every replacement that is begun: a lower number may not replace the day after a higher one."""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """How large a table is."""

    rows: int
    bytes: int
    files: int | None = None
    """None of a warehouse that has none to count."""


@dataclass(frozen=True, slots=True)
class RowOfDay:
    """A row by its id, with the day in which it lies: no other is looked through."""

    table: str
    id: str
    """The column of the id."""
    number: int
    time: str
    """The column that the table is partitioned by, a TIMESTAMP."""
    begin: datetime
    end: datetime
    """From the first moment of the day to before the first one after it."""


class Conflict(Exception):
    """Another writer was faster, and nothing was written: try again on the table as it is now."""


class Overtaken(Exception):
    """A later replacement of the day has been written, or has retired this one: nothing was written."""


class LoadFailed(EngagementError):
    """The warehouse tried the load and refused it; the old data are untouched. `rows` says which rows and why."""

    def __init__(self, what: str, todo: str = "", rows: tuple[str, ...] = ()) -> None:
        self.rows = rows
        super().__init__(what, todo)


class NumberTaken(StreamStopped):
    """The table has another load under the number of this one: to go on would lose rows, or double them."""

    def __init__(self, where: str, load: Load) -> None:
        super().__init__(
            f"The table in {where} has another load under number {load.version} of writer {load.writer} than "
            f"{load.id}: the platform database is older than the table, or was emptied.",
            "End Dagster, and move the folders of all the platform's tables away (in BigQuery, rename the tables). "
            "They are made again at the next start; then load their days with `engagement-platform backfill`.",
        )


class TableUnusable(EngagementError):
    """The table, or what stands in its place, is not as the platform needs it. Nothing was written."""


class QueryFailed(EngagementError):
    """The warehouse could not answer a query: its SQL is at fault, or a limit."""


def one_line(said: object) -> str:
    """Return the beginning of what a client said, as the middle of a sentence has it."""
    return " ".join(str(said).split()).rstrip(".:")[:500]


class Snapshot(Protocol):
    """A table as it was at one moment, however it is written to meanwhile."""

    name: str
    """How a query of the snapshot names the table."""

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """Return the answer to a query over `name`, as `Warehouse.query` does."""


class Warehouse(Protocol):
    """A warehouse. Methods raise Unavailable when it does not answer or a quota is used up for now.

    An instance is used by one thread. Tables must be ensured before anything else is asked of them.
    """

    def ensure(self, table: Table) -> str:
        """Create the table when it is missing, and return its identity: another table of that name has another one.

        Columns that it lacks are added, nullable. Those that only the table has stay, and are null in rows that come:
        what went from the stream, or what a newer process has added. Raises TableUnusable when it has a column in
        another type than `table` says, lacks one that is required, or has other partitions.
        """

    def has(self, table: Table) -> bool:
        """Say whether the table is there, perhaps without some columns, and change nothing. Raises as `ensure`."""

    def extent(self, table: Table) -> Extent:
        """Return how large the table is, as the warehouse notes it: no row is read. Raises TableUnusable."""

    def append(self, load: Load, batch: Path) -> None:
        """Append a batch to the load's table, once however often it is called with the same load.

        `batch` is NDJSON, one object a line: TIMESTAMP as RFC 3339 in UTC, DATE as ISO 8601, NUMERIC
        as a number, FLOAT64 as a string that holds one, BYTES as base64, JSON as a string. A column that a line has not
        is null; columns that the table lacks by now are added, as by `ensure`. Returns when the rows can be queried.
        Raises Conflict; LoadFailed when the load was tried and refused: then only a higher attempt can succeed. Raises
        NumberTaken, TableUnusable.
        """

    def is_loaded(self, load: Load) -> bool:
        """Say whether the load, with its attempt, has taken effect. A load that is under way is waited for.

        Raises NumberTaken.
        """

    def replace_day(self, replacement: Replacement, rows: "pa.RecordBatchReader") -> int:
        """Replace a day by `rows`, all of that day, in one step; return how many rows it has now.

        `rows` has the columns of `replacement.table` in the types of `schema.arrow_schema` and is read batch by batch.
        Columns are added and left null as by `append`. Without a row the day is empty afterwards. Raises Conflict,
        Overtaken, TableUnusable, and LoadFailed when a row is of another day.
        """

    def replace_day_by_query(self, replacement: Replacement, sql: str, parameters: Mapping[str, Parameter]) -> int:
        """Replace a day by the result of a query, in one step; return how many rows it has now. Raises as above."""

    def retire(self, replacement: Replacement) -> bool:
        """Make sure that a replacement, which its process left open, takes no effect from now on.

        Returns True when it has taken effect already. One that is under way is waited for.
        """

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """Return the answer to a query in BigQuery's dialect. Tables have bare names. Raises QueryFailed."""

    def locate(self, row: RowOfDay) -> tuple[str, ...] | None:
        """Return the files that have a row, or nothing where the warehouse does not tell files; None: there is no row.

        A table that is missing has no row.
        """

    def snapshot(self, table: str) -> Snapshot:
        """Return a table as it is now, for queries that belong together.

        Raises QueryFailed, here or with the first query, where it is missing.
        """

    def upkeep(self) -> dict[str, int]:
        """Do what keeps the tables fast and small; return figures for people."""
