"""Chooses id, time and name of a new stream, or says why a table has none."""

import re

from engagement_platform.domain.columns import Base, reserved_by_warehouse
from engagement_platform.domain.drafts.values import ColumnFacts, SourceFacts, TableFacts, is_of
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import is_name

_HAPPENED = re.compile(r"occur|happen|event|placed|recorded|created|insert|logged|received|started|^at$|^ts$|timestamp")
_NOT_HAPPENED = re.compile(r"updat|modif|chang|delet|expir|valid|due|birth|publish|cancel|finish|ended|until|sched")
_NOW = re.compile(
    r"now\(\)|current_timestamp|clock_timestamp\(\)|statement_timestamp\(\)|transaction_timestamp", re.IGNORECASE
)
_SLUG = re.compile(r"[^a-z0-9]+")


def require_readable(table: TableFacts) -> None:
    """Raise EngagementError where the role may not see all rows."""
    if not table.readable:
        raise EngagementError(
            f"The role {table.role} may not read {table.written}.",
            f"Ask the owner to run: {table.grant}",
        )
    if table.filtered:
        raise EngagementError(
            f"Row level security hides rows of {table.written} from {table.role}: events would be missing unseen.",
            f"Ask an administrator to run: ALTER ROLE {table.role} BYPASSRLS (a policy that permits all is not enough)",
        )


def number_of(facts: SourceFacts, wish: str | None) -> ColumnFacts:
    """Return the column that numbers the events. Raises EngagementError."""
    table = facts.table
    if wish is not None:
        column = chosen(table, wish, "--id")
        if not is_of(column, Base.INTEGER):
            raise EngagementError(
                f"{table.written}.{wish} is {column.type_name}: the id must be a whole number.", _needs_number(table)
            )
        if wish not in facts.numbered:
            raise EngagementError(
                f"{table.written}.{wish} has no sequence: ids that somebody else gives appear in no order that can be "
                "followed.",
                _needs_number(table),
            )
        return _nameable(column, table)
    candidates = [column for column in table.columns if column.name in facts.numbered and is_of(column, Base.INTEGER)]
    if not candidates:
        raise EngagementError(
            f"{table.written} has no integer column that takes its values from a sequence, so nobody could tell which "
            "rows are new.",
            _needs_number(table),
        )
    primary = [column for column in candidates if (column.name,) in table.unique]
    return _nameable((primary or candidates)[0], table)


def _needs_number(table: TableFacts) -> str:
    return (
        f"Ask the owner to run: ALTER TABLE {table.written} ADD COLUMN event_no bigint GENERATED ALWAYS AS IDENTITY, "
        "and to index it. It writes the table anew. Where that cannot be, take change data capture: "
        "docs/your-own-stream.md"
    )


def chosen(table: TableFacts, name: str, option: str) -> ColumnFacts:
    """Return the column that an option names. Raises EngagementError."""
    column = table.column(name)
    if column is None:
        there = ", ".join(column.name for column in table.columns)
        raise EngagementError(f"{option}: {table.written} has no column {name}.", f"It has {there}.")
    return column


def _nameable(column: ColumnFacts, table: TableFacts) -> ColumnFacts:
    if reserved_by_warehouse(column.name):
        raise EngagementError(
            f"{table.written}.{column.name} has a name that warehouses do not take, and id and time keep theirs.",
            f"Ask the owner to run: ALTER TABLE {table.written} RENAME COLUMN {column.written} TO …",
        )
    return column


def time_of(facts: SourceFacts, wish: str | None) -> tuple[ColumnFacts, list[str]]:
    """Return the time of the events, and what is to be said of the choice. Raises EngagementError."""
    table = facts.table
    if wish is not None:
        column = chosen(table, wish, "--time")
        if not is_of(column, Base.TIMESTAMP):
            raise _no_time(table, column)
        return _nameable(column, table), []
    candidates = [column for column in table.columns if is_of(column, Base.TIMESTAMP)]
    if not candidates:
        raise _no_time(table, next((c for c in table.columns if c.type_name.startswith("timestamp")), None))
    ranked = sorted(candidates, key=lambda column: -_likely_time(column, facts))
    others = [column.name for column in ranked[1:]]
    said = [f"time is {ranked[0].name}; it could be {', '.join(others)}: --time"] if others else []
    return _nameable(ranked[0], table), said


def _likely_time(column: ColumnFacts, facts: SourceFacts) -> int:
    name = column.name.lower()
    return (
        4 * column.not_null
        + 3 * bool(_NOW.search(column.default))
        + 2 * bool(_HAPPENED.search(name))
        - 6 * bool(_NOT_HAPPENED.search(name))
        + (column.name in facts.leading)
    )


def _no_time(table: TableFacts, column: ColumnFacts | None) -> EngagementError:
    if column is None:
        return EngagementError(
            f"{table.written} has no column with the time of its rows (timestamptz), so nobody could tell their days.",
            f"Ask the owner to run: ALTER TABLE {table.written} ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT "
            "now()",
        )
    zoned = f"{column.written} AT TIME ZONE 'UTC'" if column.type_name.startswith("timestamp") else column.written
    return EngagementError(
        f"{table.written}.{column.name} is {column.type_name}: the time of the events must be timestamptz, so that "
        "everybody knows which moment, and which day, it is.",
        f"Ask the owner to run: ALTER TABLE {table.written} ALTER COLUMN {column.written} TYPE timestamptz USING "
        f"{zoned} (or the zone that its values are in)",
    )


def name_of(table: TableFacts, wish: str | None) -> str:
    """Return the stream's name. Raises EngagementError."""
    name = wish or slug(table.name)
    if not is_name(name):
        raise EngagementError(
            f"{name!r} is no name of a stream: a-z, 0-9 and single _ between, beginning with a letter, 40 at most.",
            "Give one by --name.",
        )
    return name


def slug(name: str) -> str:
    """Return a name for topics, keys and tables that is like this one."""
    text = _SLUG.sub("_", name.lower()).strip("_")[:40].strip("_")
    return text if text[:1].isalpha() else f"s_{text}"[:40].rstrip("_")
