"""engagement-platform stream check: everything that is wrong with a stream's folder and at its source, at once."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path

from engagement_platform.adapters.source import session
from engagement_platform.adapters.source.describe import Description, described
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.statement import examine, relations_of
from engagement_platform.console import folder_check
from engagement_platform.console.finding import Finding, Level, show
from engagement_platform.console.folder_check import ENRICHED, TOML, Texts, of_flaw, of_mart
from engagement_platform.console.source_checks import of_source
from engagement_platform.console.statement_check import findings_of, findings_of_relations
from engagement_platform.domain import statement_text
from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.marts import Mart
from engagement_platform.domain.stream_form import line_of
from engagement_platform.domain.stream_rules import meanings_left_over, meanings_to_write
from engagement_platform.domain.stream_table import table_of
from engagement_platform.settings import about, source_dsn_of

_LINE = re.compile(r"line (\d+) \((.*?)\): ")
_CANNOT = re.compile(r"^enriched\.sql of the stream \w+ cannot be used: ")


def report(folder: Path, *, offline: bool) -> bool:
    """Print everything that is found; return whether there is no fault."""
    from rich.console import Console

    console = Console()
    texts = folder_check.texts_of(folder)
    findings = list(all_findings(texts, offline=offline))
    faults = sum(show(console, finding, f"{finding.where}: {finding.what}") for finding in findings)
    if warnings := len(findings) - faults:
        console.print(f"[yellow]{warnings} to look at.[/]")
    if faults:
        console.print(f"[red]{faults} to mend.[/]")
    else:
        console.print(
            f"[green]{folder} can be a stream.[/]" + (" The source was not asked." if offline else ""), soft_wrap=True
        )
    return not faults


def all_findings(texts: Texts, *, offline: bool) -> Iterator[Finding]:
    """Yield what is wrong, the files first."""
    seen = set[tuple[str, int | None, str]]()
    for finding in _all(texts, offline=offline):
        key = (finding.file, finding.line, finding.what)
        if key not in seen:
            seen.add(key)
            yield finding


def _all(texts: Texts, *, offline: bool) -> Iterator[Finding]:
    yield from folder_check.findings_of(texts)
    stream = folder_check.stream_in(texts)
    if stream is None or offline or not stream.enriched.strip():
        return
    with about(stream.name):
        yield from _online(texts, stream)


def _online(texts: Texts, stream: EventStream) -> Iterator[Finding]:
    try:
        origin = Origin(source_dsn_of(stream.name), stream)
        yield from _at_source(origin)
        yield from _of_statement(texts, origin)
    except EngagementError as error:
        yield Finding("fault", error.what, error.todo)


def _at_source(origin: Origin) -> Iterator[Finding]:
    """Yield what `doctor` says of the source."""
    for finding in of_source(origin):
        if finding.level != "ok":
            level: Level = "fault" if finding.level == "fault" else "warning"
            yield Finding(level, finding.what.removeprefix("source: "), finding.todo)


def _of_statement(texts: Texts, origin: Origin) -> Iterator[Finding]:
    with closing(session.connect(origin.dsn, "stream", patience=session.LOOKUP_SECONDS)) as connection:
        relations = relations_of(origin, connection)
        yield from findings_of_relations(origin.stream.enriched, relations)
        if any(relation.filtered for relation in relations):
            return  # PostgreSQL would not even describe it
        try:
            description = described(origin, connection)
        except StreamStopped as error:
            yield _unusable(error)
            return
        yield from (
            Finding("fault", fault, "", ENRICHED, _line_of(origin.stream, fault)) for fault in description.faults
        )
        yield from (of_flaw(texts, flaw) for flaw in description.flaws)
        yield from _of_meanings(texts, origin.stream, description)
        yield from _of_marts(texts, origin.stream, description)
        if not description.faults:
            readable = all(relation.readable for relation in relations)
            yield from findings_of(origin.stream, examine(origin, connection, description.columns, readable=readable))


def _unusable(error: StreamStopped) -> Finding:
    said = _CANNOT.sub("", error.what)
    line = _LINE.match(said)
    if line is None:
        return Finding("fault", said, error.todo, ENRICHED)
    return Finding("fault", f"{said[line.end() :]} ({line[2]})", "Mend the line.", ENRICHED, int(line[1]))


def _line_of(stream: EventStream, fault: str) -> int | None:
    """Return the line of the column that a fault names."""
    named = re.search(r"\bcolumn (\S+?)(?: |,|$)", fault)
    return statement_text.line_with(stream.enriched, named[1]) if named else None


def _of_meanings(texts: Texts, stream: EventStream, description: Description) -> Iterator[Finding]:
    for name in meanings_to_write(stream, description.schema):
        line = line_of(texts.toml or "", ("columns",))
        yield Finding("warning", f"columns: {name} has no meaning", f'Write {name} = "…".', TOML, line)
    for name in meanings_left_over(stream, description.schema):
        line = line_of(texts.toml or "", ("columns", name))
        what = f"columns.{name}: enriched.sql has no such column"
        yield Finding("warning", what, "Remove the line, or select the column.", TOML, line)


def _of_marts(texts: Texts, stream: EventStream, description: Description) -> Iterator[Finding]:
    from engagement_platform.adapters.warehouse.delta.dry import columns_of, parameters_of

    day, at = date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)
    tables = [table_of(stream, description.schema)]
    for name, mart in stream.marts.items():
        query = mart.query
        try:
            parameters_of(query)
        except EngagementError:
            continue  # it was said
        try:
            given = columns_of(query, tables, {"day": day, "begin": at, "end": at})
        except EngagementError as error:
            yield Finding("fault", error.what, error.todo, f"marts/{name}.sql")
        else:
            yield from of_mart(name, given)
            yield from _of_stated(texts, mart, given)
            with suppress(EngagementError):  # of_mart says it
                tables.append(mart.stated or mart.table(given))


def _of_stated(texts: Texts, mart: Mart, given: Mapping[str, str]) -> Iterator[Finding]:
    """Yield how the columns that stream.toml states for a mart are not those that its query gives."""
    if mart.stated is None:
        return
    stated = {column.name for column in mart.stated.columns}
    for name in stated ^ given.keys():
        line = line_of(texts.toml or "", ("marts", mart.name, "columns", name))
        there = "the query does not give it" if name in stated else "the query gives it, and it is not listed"
        yield Finding("fault", f"marts.{mart.name}.columns.{name}: {there}", "", TOML, line)
