"""The form of `stream.toml`: which keys it may have, and everything that is wrong with one."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import msgspec

from engagement_platform.domain.source_tables import Form


class SourceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[source]: the append-only table in which the events appear."""

    name: str = msgspec.field(name="table")
    """As SQL writes it, with its schema where that is not in the search_path."""
    id: str
    """The column that a sequence with CACHE 1 numbers."""
    time: str
    """The column with the time of the event, timestamptz: it decides the day, and the place in the window."""


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """[message]."""

    key: str


class Dimension(msgspec.Struct, forbid_unknown_fields=True):
    """[views.dimensions.NAME]."""

    column: str
    shown: tuple[str, ...] = ()


class Views(msgspec.Struct, forbid_unknown_fields=True):
    """[views]."""

    dimensions: dict[str, Dimension]
    measures: dict[str, str] = {}


class Warehouse(msgspec.Struct, forbid_unknown_fields=True):
    """[warehouse]."""

    table: str
    clustered_by: tuple[str, ...] = ()
    user: str | None = None
    same_values: dict[str, str] = {}


class Needed(msgspec.Struct, forbid_unknown_fields=True):
    """[tables.NAME.COLUMN]."""

    type: Form
    meaning: str
    nullable: bool = True
    unique: bool = False


class MartColumn(msgspec.Struct, forbid_unknown_fields=True):
    """[marts.NAME.columns.COLUMN]."""

    type: str
    meaning: str = ""
    required: bool = False


class Mart(msgspec.Struct, forbid_unknown_fields=True):
    """[marts.NAME]."""

    meaning: str = ""
    columns: dict[str, MartColumn] = {}
    clustered_by: tuple[str, ...] = ()


class Joined(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[checks.joined.NAME]: an event that names a row of another table has that row's columns."""

    column: str
    """The column that names the row."""
    brings: str
    """A column that the row brings and that is never null there."""


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[checks]: what is checked of a stream's days, beyond ids and days, only because its folder says so."""

    unit: str | None = None
    """What the first sum of the views counts, in words; without it, the measure's name."""
    joined: dict[str, Joined] = {}
    """Name of what is joined -> how that is seen."""
    known_values: dict[str, tuple[str, ...]] = {}
    """Column -> the texts that are expected in it. Others are carried all the same, and said."""


class Folder(msgspec.Struct, forbid_unknown_fields=True):
    """All of `stream.toml`."""

    name: str
    meaning: str
    source: SourceTable
    message: Message
    views: Views
    warehouse: Warehouse
    tables: dict[str, dict[str, Needed]] = {}
    columns: dict[str, str] = {}
    marts: dict[str, Mart] = {}
    checks: Checks = msgspec.field(default_factory=Checks)


Path = tuple[str, ...]
"""Where something stands in `stream.toml`: keys, from the outermost one."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong in `stream.toml`."""

    path: Path
    what: str

    def __str__(self) -> str:
        """Say where and what, for people."""
        return f"{'.'.join(self.path)}: {self.what}" if self.path else self.what


def flaws_of_form(toml: Mapping[str, Any]) -> list[Flaw]:
    """Return every key that is missing or unknown and every value of another type, in the order of the form."""
    return list(_flaws(toml, Folder, ()))


def _flaws(value: Any, of: Any, path: Path) -> Iterator[Flaw]:
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        yield from _flaws_of_table(value, of, path)
    elif get_origin(of) is dict:
        if not isinstance(value, Mapping):
            yield Flaw(path, "must be a table")
            return
        for key, item in value.items():
            yield from _flaws(item, get_args(of)[1], (*path, key))
    else:
        try:
            msgspec.convert(value, of)
        except msgspec.ValidationError as error:
            yield Flaw(path, _in_words(str(error)))


def _flaws_of_table(value: Any, of: type[msgspec.Struct], path: Path) -> Iterator[Flaw]:
    if not isinstance(value, Mapping):
        yield Flaw(path, "must be a table")
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(of)}
    for key in value.keys() - fields.keys():
        yield Flaw((*path, key), f"unknown field `{key}`{_suggested(key, fields.keys() - value.keys(), fields)}")
    for name, field in fields.items():
        if name in value:
            yield from _flaws(value[name], field.type, (*path, name))
        elif field.required:
            yield Flaw(path, f"the required field `{name}` is missing")


def _suggested(key: str, free: Any, known: Any) -> str:
    close = _closest(key, free)
    return f": is `{close}` meant?" if close else f"; it may have {', '.join(sorted(known))}"


def _in_words(said: str) -> str:
    text = said.replace(" - at `$`", "")
    return text[:1].lower() + text[1:]


def near(name: str, names: Any) -> str:
    """Return ` (is `x` meant?)` where one of the names is like this one; else nothing."""
    close = _closest(name, names)
    return f" (is {close} meant?)" if close else ""


def _closest(name: str, names: Any) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)), "")


_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_ASSIGNED = re.compile(rf"^\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_HEADER = re.compile(rf"^\s*\[\[?\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]\]?")


def line_of(text: str, path: Path) -> int | None:
    """Return the line, counted from 1, of the longest beginning of a path that stands in a valid TOML text.

    None where not even its first key does.
    """
    best, at = 0, None
    for number, standing in _standing(text):
        common = _common(standing, path)
        if common == len(standing) and common > best:
            best, at = common, number
    return at


def _standing(text: str) -> list[tuple[int, Path]]:
    """Return line and path of each header and key; what lies within an inline table has the line of its key."""
    lines, until = list[tuple[int, Path]](), ""
    table: Path = ()
    for number, line in enumerate(text.split("\n"), 1):
        if until:
            until = "" if until in line else until
            continue
        if header := _HEADER.match(line):
            table = _keys(header[1])
            lines.append((number, table))
        elif assigned := _ASSIGNED.match(line):
            lines.append((number, (*table, *_keys(assigned[1]))))
            rest = line[assigned.end() :].lstrip()
            until = rest[:3] if rest[:3] in ('"""', "'''") and rest[:3] not in rest[3:] else ""
    return lines


def _keys(dotted: str) -> Path:
    """Return the keys of a dotted one, as a parser of TOML reads it."""
    value, keys = tomllib.loads(f"{dotted} = 0"), []
    while isinstance(value, dict):
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys)


def _common(one: Path, other: Path) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
