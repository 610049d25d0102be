"""Chooses what a new stream's folder says of a table: a careful first answer to each question, and what else there was.

Whoever writes the folder reads on; so nothing is chosen that could double rows or carry what names a person.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engagement_platform.domain.columns import Base
from engagement_platform.domain.drafts import columns, source
from engagement_platform.domain.drafts.columns import is_counted
from engagement_platform.domain.drafts.source import chosen
from engagement_platform.domain.drafts.values import ColumnFacts, Draft, Selected, SourceFacts, Wishes, is_of
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_rules import NO_MEMBER

MAX_DIMENSIONS, MAX_MEASURES = 5, 4

_USER = re.compile(r"^(user|customer|member|account|person|subscriber|patient|client)(_?id)?$")
_NO_SUM = re.compile(r"(^|_)(id|no|nr|num|number|code|zip|year|month|day|hour|version|port|status|type|position|rank)$")


def user_of(facts: SourceFacts) -> str | None:
    """Return the column that names a person, by its name and type; None where none does."""
    return next((c.name for c in facts.table.columns if _USER.match(c.name) and is_of(c, Base.UUID)), None)


def key_of(facts: SourceFacts, wish: str | None, columns: Sequence[Selected], number: str) -> str:
    """Return the key: what leads to another table, else a uuid, else the number. Raises EngagementError."""
    selected = [column for column in columns if not column.is_offered]
    if wish is not None:
        chosen(facts.table, wish, "--key")
        named = next((column.name for column in selected if column.column.name == wish), None)
        if named is None:
            raise EngagementError(f"--key: {wish} is no column that the message can have.", "Name another one.")
        return named
    references = [key.columns[0] for key in facts.foreign_keys if len(key.columns) == 1]
    ranked = sorted(
        (column for column in selected if column.column.name in references),
        key=lambda column: (not column.column.not_null, not _USER.match(column.column.name)),
    )
    uuids = [column for column in selected if is_of(column.column, Base.UUID)]
    return next((column.name for column in [*ranked, *uuids]), number)


def dimensions_of(facts: SourceFacts, draft: Draft) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what is counted by: what has few values, then what leads to another table, at least the key."""
    reserved = {draft.id, draft.time}
    few = [
        (column.name, ())
        for column in draft.columns
        if not column.is_offered and column.name not in reserved and is_counted(column.column, facts.table.rows)
    ]
    joined = list[tuple[str, tuple[str, ...]]]()
    references = list[tuple[str, tuple[str, ...]]]()
    for join in draft.joins:
        own = next((c for c in draft.columns if c.column.name == join.key.columns[0] and not c.is_offered), None)
        shown = tuple(column.name for column in join.columns if not column.is_offered and not join.refused)
        if own is not None and len(join.key.columns) == 1 and _is_member(own):
            references.append((own.name, shown[:3]))
        joined += [
            (column.name, ())
            for column in join.columns
            if column.name in shown and is_counted(column.column, join.key.target.rows)
        ]
    taken = dict[str, tuple[str, ...]]()
    for column, shown in [*few[: MAX_DIMENSIONS - 1], *joined, *references, *few]:
        if len(taken) < MAX_DIMENSIONS:
            taken.setdefault(column, shown)
    return tuple(taken.items()) or (
        (next((c.name for c in draft.columns if c.name == draft.key and _is_member(c)), draft.id), ()),
    )


def _is_member(column: Selected) -> bool:
    """Say whether views can count by a column; what is carried as text they can."""
    return column.column.type is None or column.column.type.base not in NO_MEMBER


def measures_of(facts: SourceFacts, draft: Draft, counted: set[str]) -> Iterator[str]:
    """Yield whole numbers that mean an amount."""
    references = {name for key in facts.foreign_keys for name in key.columns}
    unique = {key[0] for key in facts.table.unique if len(key) == 1}
    left = MAX_MEASURES
    for column in draft.columns:
        name = column.column.name
        is_amount = not _NO_SUM.search(name.lower()) and name not in references | unique | {draft.id, draft.key}
        if left and not column.is_offered and is_of(column.column, Base.INTEGER) and is_amount and name not in counted:
            left -= 1
            yield column.name


def draft_of(facts: SourceFacts, wishes: Wishes) -> Draft:
    """Return the draft. Raises EngagementError where the table cannot be a stream's, with what to do."""
    table = facts.table
    source.require_readable(table)
    number = source.number_of(facts, wishes.id)
    time, choice = source.time_of(facts, wishes.time)
    user = user_of(facts)
    kept = {name for name in (user, wishes.key) if name is not None}
    own = tuple(columns.own(facts, number.name, time.name, kept))
    draft = Draft(
        source.name_of(table, wishes.name),
        table,
        number.name,
        time.name,
        key_of(facts, wishes.key, own, number.name),
        user,
        own,
        joins=tuple(columns.joins(facts, {column.name.lower() for column in own})),
        dimensions=(),
        measures=(),
        remarks=(*choice, *_remarks(facts, number, time)),
    )
    dimensions = dimensions_of(facts, draft)
    counted = {column for column, _ in dimensions}
    return replace(draft, dimensions=dimensions, measures=tuple(measures_of(facts, draft, counted)))


def _remarks(facts: SourceFacts, number: ColumnFacts, time: ColumnFacts) -> Iterator[str]:
    table = facts.table.written
    if number.name not in facts.leading:
        yield (
            f"no index begins with {number.name}, so that each look for new rows scans the table: propose to the owner "
            f"CREATE UNIQUE INDEX CONCURRENTLY ON {table} ({number.written})"
        )
    if time.name not in facts.leading:
        yield (
            f"no index begins with {time.name}, so that rebuilding a day scans the table: propose to the owner "
            f"CREATE INDEX CONCURRENTLY ON {table} ({time.written})"
        )
    if not time.not_null:
        yield f"{time.name} may be null: an event without a time is a dead letter"
    if facts.updated or facts.deleted:
        yield (
            f"{table} was changed since its statistics began ({facts.updated} updates, {facts.deleted} deletes): a "
            "stream is of what is inserted, and changes show once their day is rebuilt"
        )
