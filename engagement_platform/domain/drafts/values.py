"""What a new stream's folder is to say, as values."""

from dataclasses import dataclass

from engagement_platform.domain.columns import Base
from engagement_platform.domain.table_facts import ColumnFacts, ForeignKey, TableFacts


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever writes the folder has said."""

    name: str | None = None
    id: str | None = None
    time: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """A column of the message."""

    expression: str
    """As SQL writes it, of a row that is called `event` or by the name of its join."""
    name: str
    meaning: str
    column: ColumnFacts
    note: str = ""
    """Why it is not as it is in the table, or why it is offered only."""
    is_offered: bool = False
    """Written behind `--`: whoever wants it takes that away."""


@dataclass(frozen=True, slots=True)
class Join:
    """A join over a foreign key, which brings one row at most."""

    alias: str
    key: ForeignKey
    columns: tuple[Selected, ...]
    refused: str = ""
    """Why it is only offered."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the folder is to say."""

    name: str
    table: TableFacts
    id: str
    time: str
    key: str
    user: str | None
    columns: tuple[Selected, ...]
    joins: tuple[Join, ...]
    dimensions: tuple[tuple[str, tuple[str, ...]], ...]
    """Column and what is shown beside it."""
    measures: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What was chosen where there was a choice, and what the owner should know."""

    @property
    def selected(self) -> tuple[Selected, ...]:
        """The columns of the message, in order."""
        joined = [column for join in self.joins if not join.refused for column in join.columns]
        return tuple(column for column in [*self.columns, *joined] if not column.is_offered)


def is_of(column: ColumnFacts, *bases: Base) -> bool:
    """Say whether a column may be read and is of one of these types."""
    return column.readable and column.type is not None and column.type.base in bases
