"""Compares a day of the warehouse with the source while both go on.

A difference may only mean that an event is on its way. So when there is one, the stream is waited for: until the relay
has published all that the source's snapshot holds, and the stage has loaded the topic up to where it then ended. Then
the warehouse is read again, and what is not in the first snapshot is looked up in a second one. Where the stream does
not come that far in time, an event that it is still to bring is neither there nor missing: it is awaited.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.doubled import brought_twice
from engagement_platform.adapters.source.history import days_of, open_history, own_columns, unfit_among
from engagement_platform.adapters.source.origin import Origin, origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.streams import stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.coverage import Coverage, coverage_of
from engagement_platform.domain.days import bounds
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.reconciliation import Findings, Sums, comparison_of, named
from engagement_platform.domain.stream_names import PACKAGED
from engagement_platform.domain.table import Table
from engagement_platform.history.before import covered, dead_letters
from engagement_platform.history.table import figures_of_day, quoted, statement
from engagement_platform.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from engagement_platform.adapters.figures import Figures

PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.25
_LOOKED_UP = 10_000

_MAX_VALUES = 1_000


def reconcile_days(settings: Settings, days: Sequence[date], patience: float = PATIENCE_SECONDS) -> list[Findings]:
    """Return how days of the warehouse differ from the source, in the order of the days.

    Compared are the ids, and of each event what the views add up and what else the source's own table has
    (`domain.reconciliation`). Waits once, up to `patience` seconds, for the stream to bring what the days that differ
    lack. Holds two integers, and one for each measure, for each event of those days in memory. Raises EngagementError.
    """
    import numpy as np  # noqa: PLC0415

    ensure_schema(settings)
    sides = _Sides(settings)
    findings: dict[date, Findings] = {}
    sources: dict[date, Figures] = {}
    for day in days:
        source = sides.source(day)
        findings[day] = _compare(sides, day, source)
        if findings[day].differs:
            sources[day] = source
    if sources:
        ids = np.sort(np.concatenate([source.ids for source in sources.values()]))
        arrived = wait_for_stream(settings, sides.table_id, ids, patience)
        sure: dict[date, Coverage] = {}
        if not arrived:  # what its rebuild has seen a day must hold whatever the stream has brought since
            with Rebuilds.opened(settings, "reconcile") as rebuilds:
                sure = rebuilds.coverages(sides.table_id, list(sources))
        for day, source in sources.items():
            still_to_come = None if arrived else sure.get(day, Coverage(-1))
            findings[day] = _compare(sides, day, source, still_to_come)
    return [findings[day] for day in days]


class _Sides:
    """The source and the warehouse's table of one stream, and by what they are compared."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.origin = origin_of(settings)
        self.warehouse = open_warehouse(settings)
        table = table_now(settings)
        self.table_id = self.warehouse.ensure(table)
        self.schema = _within(schema_now(self.origin), table)
        self.comparison = comparison_of(self.origin.stream, self.schema, own_columns(self.origin))

    def source(self, day: date) -> "Figures":
        """Read a day of the source, in a snapshot of its own."""
        from engagement_platform.adapters.figures import doubled_ids, figures_of  # noqa: PLC0415, as it loads Arrow

        with open_history(self.origin) as history:
            figures = figures_of(history.figures(day, self.comparison), self.comparison)
        if (twice := doubled_ids(figures)).size:
            raise brought_twice(self.origin.stream, int(twice[0]))
        return figures

    def table(self, day: date) -> "Figures":
        """Read a day of the warehouse."""
        from engagement_platform.adapters.figures import figures_of  # noqa: PLC0415

        begin, end = bounds(day)
        question = figures_of_day(self.origin.stream, self.comparison)
        answer = self.warehouse.query(question, {"begin": begin, "end": end})
        return figures_of(answer.to_batches(), self.comparison, is_table=True)


def _within(schema: Schema, table: Table) -> Schema:
    """Return the schema without what the table has not yet: columns of which no message is published."""
    names = {column.name for column in table.columns}
    return replace(schema, columns=tuple(column for column in schema.columns if column.name in names))


def _compare(sides: _Sides, day: date, source: "Figures", sure: Coverage | None = None) -> Findings:
    """Compare a day. With `sure`, the stream is behind: only what that coverage holds can be said to be missing."""
    import numpy as np  # noqa: PLC0415

    table = sides.table(day)
    unique, first, times = np.unique(table.ids, return_index=True, return_counts=True)
    missing = np.setdiff1d(source.ids, unique, assume_unique=True)
    dead = dead_letters(sides.settings, set(missing.tolist())) if len(missing) else set()
    lacking = set(missing.tolist()) - dead
    unfit = unfit_among(sides.origin, sides.schema, sorted(lacking)) if lacking else set()
    lacking -= unfit
    awaited = set() if sure is None else {number for number in lacking if not sure.covers(number)}
    surplus, moved, later = _looked_up(sides.origin, day, np.setdiff1d(unique, source.ids, assume_unique=True).tolist())
    common, in_source, in_table = np.intersect1d(source.ids, unique, assume_unique=True, return_indices=True)
    in_table = first[in_table]
    expected, compared = ~np.isin(source.ids, list(dead | unfit | awaited)), ~np.isin(table.ids, later)
    different = np.zeros(len(common), np.bool_)
    for mine, theirs in zip(source.measures, table.measures, strict=True):
        different |= mine.at(in_source).differs(theirs.at(in_table))
    return Findings(
        day=day,
        source_rows=len(source.ids),
        table_rows=int(compared.sum()),
        sums={
            column.name: Sums(mine.at(expected).sum(), theirs.at(compared).sum())
            for column, mine, theirs in zip(sides.comparison.measures, source.measures, table.measures, strict=True)
        },
        missing=named(lacking - awaited),
        awaited=named(awaited),
        surplus=named(surplus),
        moved=named(moved),
        doubled=named(unique[times > 1].tolist()),
        different=named(common[different].tolist()),
        changed=named(common[source.marks[in_source] != table.marks[in_table]].tolist()),
        unjoined={
            name: named(table.ids[unjoined].tolist())
            for name, unjoined in zip(sides.comparison.joined, table.unjoined, strict=True)
        },
        unfit=named(unfit),
        dead_letters=len(dead),
    )


def _looked_up(origin: Origin, day: date, ids: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Tell ids that the snapshot did not have apart: gone from the source, moved to another day, or just later."""
    now: dict[int, date] = {}
    for at in range(0, len(ids), _LOOKED_UP):
        now |= days_of(origin, ids[at : at + _LOOKED_UP])
    return (
        [number for number in ids if number not in now],
        [number for number in ids if now.get(number, day) != day],
        [number for number in ids if now.get(number) == day],
    )


def wait_for_stream(settings: Settings, table_id: str, ids: "np.ndarray[Any, Any]", patience: float) -> bool:
    """Wait until the warehouse has what the source had; return whether it came to that within `patience` seconds."""
    deadline = time.monotonic() + patience
    if not _until(lambda: _published(settings, ids), deadline):
        return False
    with closing(TopicReader(settings.kafka, settings.topics.events)) as reader:
        ends = reader.end_offsets()
    with Loads.opened(settings, "reconcile") as loads:
        return _until(lambda: _loaded(loads, table_id, ends), deadline)


def _until(condition: Any, deadline: float) -> bool:
    """Return whether a condition has come true by then; it is looked at once at least."""
    while True:
        try:
            if condition():
                return True
        except Unavailable:  # it may come back in time
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)


def _published(settings: Settings, ids: "np.ndarray[Any, Any]") -> bool:
    """Say whether the relay has published all of the ids."""
    with open_checkpoints(settings) as checkpoints:
        last = checkpoints.last()
    return last is not None and bool(covered(coverage_of(last), ids).all())


def _loaded(loads: Loads, table_id: str, ends: dict[int, int]) -> bool:
    """Say whether the stage has loaded the topic up to these ends, and nothing is open."""
    last = loads.last_load(table_id)
    if last is None or last.closed_at is None or loads.open_loads(table_id):  # those of other shards
        return False
    return all(last.next_offsets.get(partition, 0) >= end for partition, end in ends.items())


@dataclass(frozen=True, slots=True)
class NewValue:
    """A text in the warehouse that nobody has said to expect."""

    column: str
    value: str
    events: int
    first: datetime
    last: datetime


def expected_values(settings: Settings, stream: EventStream) -> dict[str, frozenset[str]]:
    """Return column -> the texts that are expected in it: of the packaged stream those of the settings come first."""
    expected = {column: frozenset(values) for column, values in stream.checks.known_values.items()}
    by_hand = {"event_type": settings.history.event_types, "content_type": settings.history.content_types}
    for column, text in by_hand.items():
        if stream.name == PACKAGED and f"{column}s" in settings.history.model_fields_set:
            expected[column] = frozenset(value.strip() for value in text.split(","))
    return expected


def new_values(settings: Settings, since: datetime) -> list[NewValue]:
    """Return the values since a time that are not among those that are expected.

    The most frequent first; at most `_MAX_VALUES` of each.
    """
    warehouse = open_warehouse(settings)
    warehouse.ensure(table_now(settings))
    new = []
    for column, values in expected_values(settings, stream_of(settings)).items():
        question = statement(stream_of(settings), "values_of", column=quoted(column), most=_MAX_VALUES)
        rows = warehouse.query(question, {"begin": since}).to_pylist()
        new += [NewValue(column, **row) for row in rows if row["value"] not in values]
    return new


@dataclass(frozen=True, slots=True)
class Strange:
    """Events on days that Dagster does not know."""

    events: int
    first: str
    last: str


def strange_days(settings: Settings, first: date, last: date) -> Strange:
    """Return how many events lie before `first` or after `last`, and between which times."""
    warehouse = open_warehouse(settings)
    warehouse.ensure(table_now(settings))
    outside = statement(stream_of(settings), "outside")
    row = warehouse.query(outside, {"begin": bounds(first)[0], "end": bounds(last)[1]}).to_pylist()[0]
    return Strange(row["events"], str(row["first"]), str(row["last"]))
