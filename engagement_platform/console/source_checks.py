"""What doctor and the check of a folder look at in the source. None of it changes anything."""

import re
from collections.abc import Iterator

from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.look import Surroundings, look_around
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.console.finding import Finding
from engagement_platform.domain.source_tables import Sight, faults, faults_of
from engagement_platform.domain.sql_names import written

_QUALIFIED = re.compile(r'((?:"(?:[^"]|"")+"|[^".]+))\.')
"""The schema at the beginning of a sequence's name."""


def of_source(origin: Origin) -> Iterator[Finding]:
    """Look at what a stream demands of its source."""
    sight = session.look(origin)
    yield from _tables(origin, sight)
    yield from _surroundings(origin, look_around(origin, sight))
    if faults(sight, origin.stream.tables):
        return  # the relay would say the same again
    with open_source(origin) as reader:
        identity = reader.identity
        yield Finding("ok", f"source: database {identity.database}, a primary on timeline {identity.timeline}, CACHE 1")
        if not reader.sees_sequence:
            yield _unseen_sequence(origin, reader.sequence_name, sight.role)
        if reader.highest_id() > reader.highest_given():
            yield _foreign_ids(origin, reader.highest_id())
        reader.holders()


def _tables(origin: Origin, sight: Sight) -> Iterator[Finding]:
    for name, needed in origin.stream.tables.items():
        faults = faults_of(sight, name, origin.stream.tables)
        yield from (Finding("fault", fault.what, fault.todo) for fault in faults)
        if not faults:
            columns = f"the {len(needed)} columns that are read are there, with their types"
            yield Finding("ok", f"source: SELECT on {sight.tables[name].name}; {columns}; no row is hidden")


def _surroundings(origin: Origin, seen: Surroundings) -> Iterator[Finding]:
    if seen.sees_locks:
        yield Finding("ok", "source: the locks of the sequence are visible")
    else:
        yield Finding(
            "fault",
            "source: pg_locks shows no locks",
            f"Ask the owner to run: GRANT SELECT ON pg_locks TO {seen.role}",
        )
    table, time = origin.stream.source.name, origin.stream.source.time
    if seen.has_index:
        yield Finding("ok", f"source: {table} has an index on {time}")
    elif seen.has_index is False:
        yield Finding(
            "note",
            f"source: no index on {table}.{time}, so rebuilding a day scans the whole table",
            f"Propose to the owner: CREATE INDEX CONCURRENTLY ON {table} ({written(time)})",
        )
    for doubled in seen.doubled:
        yield Finding("fault", f"source: {doubled}, so the relay stops at its events", doubled.remedy)


def _unseen_sequence(origin: Origin, name: str, role: str) -> Finding:
    """Then nobody can tell which ids it has given: see docs/own-servers.md. A schema out of sight is granted, too."""
    qualified = _QUALIFIED.match(name)
    reach = f"GRANT USAGE ON SCHEMA {qualified[1]} TO {role}; " if qualified else ""
    return Finding(
        "note",
        f"source: the role does not see the sequence of {origin.stream.source.name}; deleting the newest row looks "
        "like a restore, and an id that somebody wrote is taken for one of its own",
        f"Ask the owner to run: {reach}GRANT SELECT ON SEQUENCE {name} TO {role}",
    )


def _foreign_ids(origin: Origin, highest: int) -> Finding:
    return Finding(
        "note",
        f"source: {origin.stream.source.name} has ids that its sequence has not given, up to {highest}",
        "They are published. Ask the owner who writes them; all ids should come from the sequence.",
    )
