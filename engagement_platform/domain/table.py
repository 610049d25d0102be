"""The tables of the warehouse: one definition, from which each adapter makes its own schema.

A table is partitioned by day (UTC). A day is replaced as a whole; the live stream only appends to `engagement_events`.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The type of a column, by BigQuery's name."""

    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    BOOL = "BOOL"
    BYTES = "BYTES"
    NUMERIC = "NUMERIC"
    """Decimal with the digits that its column says."""
    TIMESTAMP = "TIMESTAMP"
    """In UTC, to the microsecond."""
    DATE = "DATE"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; null is allowed unless `required`."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    precision: int = 18
    """Of NUMERIC: digits in all."""
    scale: int = 2
    """Of NUMERIC: digits after the point."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `day` names the column, DATE or TIMESTAMP, that decides in which day's partition a row lies."""

    name: str
    meaning: str
    day: str
    clustered_by: tuple[str, ...]
    columns: tuple[Column, ...]
    is_of_stream: bool = False
    """Whether batches of a stream are appended to it; any other table is written by queries alone."""

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]


ENGAGEMENT_EVENTS = Table(
    "engagement_events",
    "What people did with podcasts, newsletters and videos: one row an event, with the columns of its content.",
    day="event_ts",
    clustered_by=("content_id",),
    columns=(
        Column("id", Kind.INT64, "Number of the event in the source; unique.", required=True),
        Column("content_id", Kind.STRING, "UUID of the content."),
        Column("user_id", Kind.STRING, "UUID of the user."),
        Column("event_type", Kind.STRING, "play, pause, finish, click, or another text that the source has."),
        Column("event_ts", Kind.TIMESTAMP, "When it happened.", required=True),
        Column("duration_ms", Kind.INT64, "For how long, in milliseconds."),
        Column("device", Kind.STRING, "What it happened on."),
        Column("raw_payload", Kind.STRING, "JSON as the source has it; null where the source has null."),
        Column("slug", Kind.STRING, "Short name of the content, as of the time the row was written."),
        Column("title", Kind.STRING, "Title of the content, as of the time the row was written."),
        Column("content_type", Kind.STRING, "podcast, newsletter, video, or another text that the source has."),
        Column("length_seconds", Kind.INT64, "Length of the content, in seconds."),
        Column("engagement_seconds", Kind.NUMERIC, "duration_ms / 1000, rounded half away from zero to two decimals."),
        Column(
            "engagement_pct",
            Kind.NUMERIC,
            "Share of the content's length, a ratio, to two decimals: 0.25 is a quarter; null where the length is null "
            "or 0.",
        ),
    ),
    is_of_stream=True,
)
