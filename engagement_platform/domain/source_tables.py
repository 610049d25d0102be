"""What a stream needs of the source's tables, and what to say where they are not so. `stream.toml` lists it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import quote

from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped
from engagement_platform.domain.sql_names import written

SERVER_NAME = "the source"


class Form(Enum):
    """A kind of column: what it may be in PostgreSQL, and the statement's word for it. Domains count as their base."""

    WHOLE = "bigint"
    UUID = "uuid"
    TEXT = "text"
    TIME = "timestamptz"
    JSON = "jsonb"

    def accepts(self, type_name: str, category: str) -> bool:
        """Say whether a base type will do; `category` is PostgreSQL's letter for its kind.

        Texts are all that is read as text: varchar, char, citext and enums. Whole numbers are those of any width.
        """
        return category in {"S", "E"} if self is Form.TEXT else type_name in _TYPES[self]


_TYPES = {
    Form.WHOLE: ("smallint", "integer", "bigint"),
    Form.UUID: ("uuid",),
    Form.TIME: ("timestamp with time zone",),
    Form.JSON: ("jsonb",),  # not json: its text is kept as written, doubled keys too, and it cannot be compared
}


@dataclass(frozen=True, slots=True)
class Needed:
    """A column that the enrichment reads."""

    name: str
    form: Form
    meaning: str
    nullable: bool = True
    """Whether null is an ordinary value. Nothing refuses a column that permits it."""
    unique: bool = False
    """Whether the enrichment joins the table by it, so that no value may have two rows."""


Tables = Mapping[str, tuple[Needed, ...]]
"""Table, as SQL writes it -> the columns that a stream reads. Others may be there."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is."""

    type_name: str
    """As PostgreSQL writes it, the base type of a domain."""
    category: str
    readable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the session sees it."""

    name: str
    """As a statement has to write it."""
    filtered: bool
    """Whether row level security would hide rows from the role."""
    owned: bool
    """Whether the role owns the table."""
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A schema with a table of the name that the session does not see."""

    schema: str
    usable: bool
    """Whether the role may use the schema."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a session sees of the source."""

    role: str
    """As a statement has to write it."""
    search_path: str
    """As a statement has to write it."""
    tables: Mapping[str, Table]
    """Those that are in sight, by their plain name."""
    elsewhere: Mapping[str, tuple[Elsewhere, ...]]
    """For tables that are not in sight: where there is one of the name."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it must be, and the statement that mends it."""

    what: str
    todo: str
    is_right: bool = False
    """A right that is missing: it is granted, and everything goes on by itself."""


def faults(sight: Sight, tables: Tables) -> list[Fault]:
    """Return all that keeps the enrichment from reading the source as it must."""
    return [fault for name in tables for fault in faults_of(sight, name, tables)]


def faults_of(sight: Sight, name: str, tables: Tables) -> list[Fault]:
    """Return what is wrong with one of the tables."""
    table = sight.tables.get(name)
    if table is None:
        return [_not_in_sight(sight, name, tables)]
    faults = list(_columns(table, tables[name]))
    present = [table.columns[column.name] for column in tables[name] if column.name in table.columns]
    if any(not column.readable for column in present):
        faults.append(
            Fault(
                f"The source has no SELECT on {name} for {sight.role}.",
                f"Ask the owner to run: GRANT SELECT ON {table.name} TO {sight.role}",
                is_right=True,
            )
        )
    if table.filtered:
        faults.append(_filtered(sight, name, table))
    return faults


def _columns(table: Table, needed: Iterable[Needed]) -> Iterator[Fault]:
    for column in needed:
        actual = table.columns.get(column.name)
        if actual is None:
            yield Fault(
                f"The source lacks column {column.name} of {table.name}.",
                f"If it has another name now, ask the owner to run: ALTER TABLE {table.name} RENAME COLUMN … TO"
                f" {written(column.name)}; else: ALTER TABLE {table.name} ADD COLUMN {written(column.name)}"
                f" {column.form.value}",
            )
        elif not column.form.accepts(actual.type_name, actual.category):
            yield Fault(
                f"The source's column {column.name} of {table.name} is {actual.type_name},"
                f" it must be {column.form.value}.",
                f"Ask the owner to run: ALTER TABLE {table.name} ALTER COLUMN {written(column.name)} TYPE"
                f" {column.form.value} USING {_converted(column, actual)}",
            )


def _converted(needed: Needed, column: Column) -> str:
    if needed.form is Form.TIME and column.type_name == "timestamp without time zone":
        return f"{written(needed.name)} AT TIME ZONE 'UTC' (or the zone that its values are in)"
    return f"{written(needed.name)}::{needed.form.value}"


def _filtered(sight: Sight, name: str, table: Table) -> Fault:
    what = f"Row level security hides rows of the source's {name} from {sight.role}: events would be missing unseen."
    if table.owned:
        return Fault(what, f"Run: ALTER TABLE {table.name} NO FORCE ROW LEVEL SECURITY")
    return Fault(
        what,
        f"Ask an administrator to run: ALTER ROLE {sight.role} BYPASSRLS (a policy that permits all is not enough), or"
        f" the owner: ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY",
    )


def _not_in_sight(sight: Sight, name: str, tables: Tables) -> Fault:
    what = f"The source lacks table {name}: it is in no schema of the search_path ({sight.search_path})"
    schemas = sight.elsewhere.get(name, ())
    for other in schemas:
        if not other.usable:
            return Fault(
                f"{what} that {sight.role} may use.",
                f"Ask the owner to run: GRANT USAGE ON SCHEMA {other.schema} TO {sight.role}; and let the search_path"
                f" name it: ALTER ROLE {sight.role} SET search_path = {_path_to(sight, other.schema)}",
                is_right=True,
            )
    for other in schemas:
        return Fault(
            f"{what}, but in {other.schema}.",
            f"Ask the owner to run: ALTER ROLE {sight.role} SET search_path = {_path_to(sight, other.schema)}; or add"
            f" options={_in_url(_path_to(sight, other.schema))} to the URL in ENGAGEMENT_SOURCE_DSN",
        )
    return Fault(f"{what}.", f"Let ENGAGEMENT_SOURCE_DSN name the database that has {' and '.join(tables)}.")


def _path_to(sight: Sight, schema: str) -> str:
    """Return a search_path that adds a schema to what the session sees: the other table may be there."""
    return ", ".join(filter(None, (sight.search_path, schema)))


def _in_url(search_path: str) -> str:
    """Return the option that sets a path as a URL has it; a server takes a blank with a backslash before it."""
    escaped = search_path.replace("\\", "\\\\").replace(" ", "\\ ")
    return f"-csearch_path%3D{quote(escaped, safe='')}"


def error_of(faults: Iterable[Fault]) -> EngagementError | None:
    """Return one error that says all faults; None without any. Refused where only rights are missing."""
    listed = list(faults)
    if not listed:
        return None
    what = " ".join(fault.what for fault in listed)
    todo = "; then: ".join(dict.fromkeys(fault.todo.removesuffix(".") for fault in listed)) + "."
    if all(fault.is_right for fault in listed):
        return Refused(what, todo, server=SERVER_NAME)
    return StreamStopped(what, todo)
