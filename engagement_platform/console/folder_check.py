"""Checks the files of a stream's folder, as far as they can be checked without the source."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engagement_platform.console.finding import Finding
from engagement_platform.domain import statement_text
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.domain.event_stream import EventStream, flaws_of, stream_of
from engagement_platform.domain.marts import marts_of
from engagement_platform.domain.stream_form import Flaw, line_of

TOML, ENRICHED = "stream.toml", "enriched.sql"
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")
_MART_COLUMNS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_DAY_OF_MART = "day"
_HASH = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Texts:
    """The files of a folder as they are; None for one that is missing."""

    toml: str | None
    enriched: str | None
    marts: Mapping[str, str]


def texts_of(folder: Path) -> Texts:
    """Read the files. Raises EngagementError where the folder is none, or a file is no text."""
    if not folder.is_dir():
        raise EngagementError(f"There is no folder {folder}.", "engagement-platform stream init writes one.")
    marts = sorted((folder / "marts").glob("*.sql")) if (folder / "marts").is_dir() else []
    return Texts(_read(folder / TOML), _read(folder / ENRICHED), {path.stem: _read(path) or "" for path in marts})


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise EngagementError(f"{path} is no text in UTF-8: {error}.", "Store it as UTF-8.") from error
    except OSError as error:
        raise EngagementError(f"{path} cannot be read: {error.strerror}.") from error


def findings_of(texts: Texts) -> list[Finding]:
    """Return what is wrong with the files by themselves."""
    return [*_of_toml(texts), *_of_statement(texts), *_of_marts(texts)]


def stream_in(texts: Texts) -> EventStream | None:
    """Return the stream; None where stream.toml or enriched.sql is not fit to make one."""
    toml = _parsed(texts.toml or "")
    if toml is None or texts.toml is None or texts.enriched is None or flaws_of(toml):
        return None
    marts = {name: statement_text.statement_of_bigquery(text) for name, text in texts.marts.items()}
    usable = {name: text for name, text in marts.items() if not flaws_of(toml, [name])}
    known = {name: form for name, form in toml.get("marts", {}).items() if name in usable}
    try:
        return stream_of(toml | {"marts": known}, statement_text.statement_of(texts.enriched), usable, TOML)
    except SettingsError:  # marts that read each other
        return stream_of(toml | {"marts": {}}, statement_text.statement_of(texts.enriched), {}, TOML)


def of_flaw(texts: Texts, flaw: Flaw) -> Finding:
    """Return what to tell of a flaw in stream.toml, with its line."""
    if not flaw.path and flaw.what.startswith("marts/"):
        file, _, what = flaw.what.partition(": ")
        return Finding("fault", what, "", file)
    return Finding("fault", str(flaw), "", TOML, line_of(texts.toml or "", flaw.path))


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _of_toml(texts: Texts) -> Iterator[Finding]:
    if texts.toml is None:
        yield Finding("fault", "there is no stream.toml", "engagement-platform stream init writes one.", TOML)
        return
    try:
        toml = tomllib.loads(texts.toml)
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match and match[1] else len(texts.toml.splitlines())
        yield Finding("fault", f"it is no TOML: {_AT_LINE.sub('', str(error)).strip()}", "Mend the line.", TOML, line)
        return
    yield from (of_flaw(texts, flaw) for flaw in flaws_of(toml, texts.marts, complete=True))
    if (stream := stream_in(texts)) is not None:
        yield from _of_same_values(texts, stream)


def _of_same_values(texts: Texts, stream: EventStream) -> Iterator[Finding]:
    own = stream.own_version
    for version, other in stream.same_values.items():
        line = line_of(texts.toml or "", ("warehouse", "same_values", version))
        if not _HASH.fullmatch(version) or not _HASH.fullmatch(other):
            yield Finding("fault", f"{version} = {other!r} are no two versions of enriched.sql", "", TOML, line)
        elif version != own:
            yield Finding(
                "warning",
                f"same_values is for another enriched.sql: this one's version is {own}",
                "Where this text gives every row the values of the former one, name its version; else remove the line.",
                TOML,
                line,
            )
        elif other == own:
            yield Finding("warning", "same_values says that this version is itself", "Remove it.", TOML, line)


def _of_statement(texts: Texts) -> Iterator[Finding]:
    if texts.enriched is None:
        todo = "It is one SELECT, whose columns are those of the message."
        yield Finding("fault", "there is no enriched.sql", todo, ENRICHED)
        return
    text = statement_text.statement_of(texts.enriched)
    if not text.strip():
        yield Finding("fault", "it has no statement", "Write one SELECT.", ENRICHED)
    calls = statement_text.calls_in(text)
    for name in sorted(calls & statement_text.BY_CHANCE):
        yield by_chance(text, name)
    changing = [*sorted(calls & (statement_text.CLOCKS | statement_text.SESSION)), *statement_text.changing_words(text)]
    for name in changing:
        yield by_time(text, name)


def by_chance(text: str, name: str) -> Finding:
    """Return what to tell of a function that gives another value at each call."""
    return Finding(
        "fault",
        f"{name}() gives another value at each call: a message would differ from the row of a rebuild",
        "Leave it out, or let the application write the value into the table.",
        ENRICHED,
        statement_text.line_with(text, name),
    )


def by_time(text: str, name: str) -> Finding:
    """Return what to tell of what gives another value at another time or in another session."""
    return Finding(
        "fault",
        f"{name} gives another value at another time or in another session: a message would differ from the row of a "
        "rebuild",
        "Leave it out, or compute it from columns of the row.",
        ENRICHED,
        statement_text.line_with(text, name),
    )


def _of_marts(texts: Texts) -> Iterator[Finding]:
    from engagement_platform.adapters.warehouse.delta.dry import parameters_of

    try:
        marts_of({}, {name: statement_text.statement_of_bigquery(text) for name, text in texts.marts.items()})
    except SettingsError as error:
        yield Finding("fault", error.what, error.todo, "marts")
    for name, text in texts.marts.items():
        file = f"marts/{name}.sql"
        try:
            parameters = parameters_of(statement_text.statement_of_bigquery(text))
        except EngagementError as error:
            yield Finding("fault", error.what, error.todo, file)
            continue
        if not {"begin", "end"} <= parameters:
            yield Finding(
                "warning",
                "it does not ask for @begin and @end, so that each day reads the whole table",
                "Write WHERE … >= @begin AND … < @end over the time of the events.",
                file,
            )


def of_mart(name: str, columns: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the columns that a mart gives: name -> type."""
    file = f"marts/{name}.sql"
    if columns.get(_DAY_OF_MART) != "DATE":
        yield Finding(
            "fault",
            "it gives no column day of type DATE, which says of which day a row is",
            "Select @day AS day.",
            file,
        )
    for column in columns:
        if not _MART_COLUMNS.fullmatch(column):
            yield Finding(
                "fault", f"its column {column} has a name that warehouses do not take", "Give it one with AS.", file
            )
