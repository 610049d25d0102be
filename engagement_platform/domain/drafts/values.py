"""What a new stream's folder is to say, as values."""

from dataclasses import dataclass

from engagement_platform.domain.columns import Base, Type


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column of a table."""

    name: str
    written: str
    """As SQL writes it."""
    type_name: str
    not_null: bool
    default: str
    comment: str
    readable: bool
    type: Type | None
    """None where no sink can carry it as it is."""
    cast: str = ""
    """Then: what can be carried, with {} in the place of the column."""
    why: str = ""
    """Then: why it cannot."""
    is_enum: bool = False
    values: int | None = None
    """How many different values a part of the rows has; None where nobody has looked."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table."""

    written: str
    """As SQL writes it, with its schema where that is not public."""
    name: str
    """Without its schema."""
    comment: str
    readable: bool
    filtered: bool
    """Whether row level security would hide rows."""
    role: str
    columns: tuple[ColumnFacts, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    """Columns of which no two rows have the same values, the primary key first."""
    rows: int = 0
    """In the part that was looked at."""
    closed_schema: str = ""
    """Its schema, as SQL writes it, where the role may not use it."""

    @property
    def grant(self) -> str:
        """What the owner runs so that the role may read it."""
        usage = f"GRANT USAGE ON SCHEMA {self.closed_schema} TO {self.role}; " if self.closed_schema else ""
        return f"{usage}GRANT SELECT ON {self.written} TO {self.role}"

    def column(self, name: str) -> ColumnFacts | None:
        """Return the column of that name, where there is one."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference to a row of another table, which is one row at most."""

    columns: tuple[str, ...]
    leads_to: tuple[str, ...]
    target: TableFacts


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The table whose rows are to be events."""

    table: TableFacts
    numbered: tuple[str, ...]
    """The columns that take their values from a sequence."""
    leading: frozenset[str]
    """The columns with which an index begins."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    updated: int = 0
    deleted: int = 0


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
