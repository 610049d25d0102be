"""How a day of the warehouse differs from the source.

*Reconciled* means: every event of the source is a row or a dead letter, and every row is an event of the source.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

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
