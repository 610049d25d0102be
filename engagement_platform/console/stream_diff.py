"""engagement-platform stream diff: what a changed enriched.sql would change in a past day."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click

from engagement_platform.adapters.source.formula import opened
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.streams import read
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.day_diff import DayDiff, compare, day_in_warehouse
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.stream_names import aimed
from engagement_platform.settings import about, load, source_dsn_of


def report(folder: Path, day: date, examples: int, against: Path | None = None) -> bool:
    """Print how a day differs; return whether it does not. Raises EngagementError.

    Compared is what the warehouse has or, with `against`, what the enriched.sql of another folder gives.
    """
    stream = read(folder)
    with about(stream.name):
        dsn = source_dsn_of(stream.name)
        if against is None:
            was = "the warehouse"
            diff = _with_warehouse(Origin(dsn, stream), day, examples)
        else:
            was = str(against)
            former = read(against)
            _require_same_id(stream, former, folder, against)
            diff = _with_statement(Origin(dsn, stream), Origin(dsn, former), day, examples)
        for line in lines_of(diff, stream, day, was):
            click.echo(line)
    return not diff.differs


def _require_same_id(stream: EventStream, former: EventStream, folder: Path, against: Path) -> None:
    one, other = stream.source.id, former.source.id
    if one != other:
        raise EngagementError(
            f"{folder} numbers its events by {one} and {against} by {other}: nobody could tell which rows belong "
            "together.",
            "Compare with a folder that has the same id in [source] of its stream.toml.",
        )


def _with_warehouse(origin: Origin, day: date, examples: int) -> DayDiff:
    warehouse = open_warehouse(load(origin.stream.name))
    with opened(origin) as (formula,):
        before = day_in_warehouse(warehouse, origin.stream, day)
        return compare(formula.schema.id, before, formula.day(day), examples)


def _with_statement(origin: Origin, former: Origin, day: date, examples: int) -> DayDiff:
    """Compare two statements in one snapshot: what differs is their formula alone."""
    with opened(origin, former) as (formula, before):
        return compare(formula.schema.id, before.day(day), formula.day(day), examples)


def lines_of(diff: DayDiff, stream: EventStream, day: date, was: str) -> Iterator[str]:
    """Yield what there is to say, for people. `was` names what is compared with."""
    yield f"{day}: {diff.before_rows} rows in {was}, {diff.after_rows} by this enriched.sql"
    yield from (f"column added: {name}, {of}" for name, of in diff.added.items())
    yield from (f"column gone: {name}, {of}" for name, of in diff.gone.items())
    yield from (f"column of another type: {name}, {one} -> {other}" for name, (one, other) in diff.retyped.items())
    for what, count, said in (
        ("only_before", diff.only_before, f"rows only in {was}"),
        ("only_after", diff.only_after, "rows only by this enriched.sql"),
        ("doubled_before", diff.doubled_before, f"rows more than once in {was}"),
        ("doubled_after", diff.doubled_after, "rows more than once by this enriched.sql"),
    ):
        if count:
            yield f"{said}: {count} ({_ids(diff.named[what], count)})"
    yield f"rows that differ: {diff.rows}"
    for name, column in sorted(diff.columns.items(), key=lambda item: -item[1].rows):
        yield f"  {name}: {column.rows}"
        yield from (f"    id {number}: {before} -> {after}" for number, before, after in column.examples)
    yield from _sums(diff, stream)
    if not diff.differs:
        yield "Nothing differs."
    elif was == "the warehouse":
        again = aimed(f"engagement-platform backfill --since {day} --until {day}T23:59:59")
        yield f"Rows that the source has changed since differ, too. For this enriched.sql to take effect there: {again}"


def _ids(named: list[int], count: int) -> str:
    return ", ".join(map(str, named)) + (", …" if count > len(named) else "")


def _sums(diff: DayDiff, stream: EventStream) -> Iterator[str]:
    measures = {measure.column for measure in stream.views.measures}
    for name, (before, after) in diff.sums.items():
        if name in measures or name in diff.columns or before != after:
            yield f"sum of {name}: {before} -> {after}" + (f" ({after - before:+})" if before != after else "")
