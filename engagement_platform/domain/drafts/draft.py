"""Chooses what a new stream's folder says of a table: a careful first answer to each question, and what else there was.

Whoever writes the folder reads on; so nothing is chosen that could double rows or carry what names a person.
"""

from collections.abc import Iterator
from dataclasses import replace

from engagement_platform.domain.drafts import columns, source, views
from engagement_platform.domain.drafts.values import Draft, Wishes
from engagement_platform.domain.table_facts import ColumnFacts, SourceFacts


def draft_of(facts: SourceFacts, wishes: Wishes) -> Draft:
    """Return the draft. Raises EngagementError where the table cannot be a stream's, with what to do."""
    table = facts.table
    source.require_readable(table)
    number = source.number_of(facts, wishes.id)
    time, choice = source.time_of(facts, wishes.time)
    user = views.user_of(facts)
    kept = {name for name in (user, wishes.key) if name is not None}
    own = tuple(columns.own(facts, number.name, time.name, kept))
    draft = Draft(
        source.name_of(table, wishes.name),
        table,
        number.name,
        time.name,
        views.key_of(facts, wishes.key, own, number.name),
        user,
        own,
        joins=tuple(columns.joins(facts, {column.name.lower() for column in own})),
        dimensions=(),
        measures=(),
        remarks=(*choice, *_remarks(facts, number, time)),
    )
    dimensions = views.dimensions_of(facts, draft)
    counted = {column for column, _ in dimensions}
    return replace(draft, dimensions=dimensions, measures=tuple(views.measures_of(facts, draft, counted)))


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
            "stream is of "
            "what is inserted, and changes show once their day is rebuilt"
        )
