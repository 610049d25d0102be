"""How a day of the warehouse differs from the source.

*Reconciled* means: every event of the source is a row or a dead letter, and every row is an event of the source.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

from engagement_platform.domain.columns import Base, Column, Schema
from engagement_platform.domain.event_stream import EventStream


@dataclass(frozen=True, slots=True)
class Comparison:
    """By what the rows of a day are compared, beside their ids.

    Not by every column. A row keeps what a joined table had when the row was written, and that table's owner may change
    it at any time; the stream's own table is only appended to. So compared are the columns that stand in the row as the
    source's own table has them, and whatever the views add up.
    """

    measures: tuple[Column, ...] = ()
    """What the views add up; each is compared, and so are their sums."""
    hashed: tuple[Column, ...] = ()
    """The other columns of the source's own table: by one digest, which either side computes."""
    plain: tuple[Column, ...] = ()
    """Those among them that have no text which both sides would write alike: by their values."""
    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What is joined -> the column that names a row of it, and one that is null only where there is no such row."""


_WITHOUT_A_TEXT = (Base.FLOAT, Base.NUMERIC)


def comparison_of(stream: EventStream, schema: Schema, own: Collection[str]) -> Comparison:
    """Return what to compare; `own` are the columns that are the source's own table's, unchanged."""
    summed = {measure.column for measure in stream.views.measures}
    others = [column for column in schema.columns if column.name in own and column.name not in (*summed, schema.id)]
    return Comparison(
        measures=tuple(column for column in schema.columns if column.name in summed),
        hashed=tuple(column for column in others if column.type.base not in _WITHOUT_A_TEXT),
        plain=tuple(column for column in others if column.type.base in _WITHOUT_A_TEXT),
        joined={
            name: (joined.column, joined.brings) for name, joined in stream.joined.items() if joined.brings not in own
        },
    )


NAMED = 20
"""So many ids of each kind are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Ids:
    """How many ids, and the first of them."""

    count: int = 0
    first: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Say it for people."""
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return ", ".join(map(str, self.first)) + more if self.count else "none"


def named(ids: Collection[int]) -> Ids:
    """Return the count and the first ids, ascending."""
    return Ids(len(ids), tuple(sorted(ids)[:NAMED]))


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of one measure over a day."""

    source: int
    table: int


@dataclass(frozen=True, slots=True)
class Findings:
    """How a day of the warehouse differs from the source."""

    day: date
    source_rows: int
    table_rows: int
    sums: Mapping[str, Sums] = field(default_factory=dict)
    """Column that the views add up -> its sums."""
    missing: Ids = field(default_factory=Ids)
    """In the source, but neither in the warehouse nor in dead letters."""
    awaited: Ids = field(default_factory=Ids)
    """In the source, not in the warehouse, and the stream has not come that far yet: nobody can call them lost."""
    surplus: Ids = field(default_factory=Ids)
    """In the warehouse, but not in the source any more."""
    moved: Ids = field(default_factory=Ids)
    """In the warehouse on this day, in the source on another."""
    doubled: Ids = field(default_factory=Ids)
    different: Ids = field(default_factory=Ids)
    """With another value than in the source in a column that the views add up."""
    changed: Ids = field(default_factory=Ids)
    """With another value than in the source in another column of its own table."""
    unjoined: Mapping[str, Ids] = field(default_factory=dict)
    """What is joined -> the events that name a row of it and do not have its columns."""
    unfit: Ids = field(default_factory=Ids)
    """In the source only, and with a value that no row of the warehouse can hold: a rebuild leaves them out."""
    dead_letters: int = 0
    """Events of the source that are dead letters in place of rows."""

    @property
    def differs(self) -> bool:
        """Say whether a rebuild of the day would change something."""
        kinds = (self.missing, self.surplus, self.moved, self.doubled, self.different, self.changed)
        return any(ids.count for ids in kinds)

    @property
    def repair(self) -> str:
        """The command that repairs the day."""
        return f"engagement-platform backfill --since {self.day} --until {self.day}T23:59:59"
