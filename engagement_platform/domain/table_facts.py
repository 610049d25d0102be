"""What the source's catalog says of a table, as far as a stream's folder follows from it."""

from dataclasses import dataclass

from engagement_platform.domain.columns import Type


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
