"""In which line of a TOML file something stands: parsers of TOML say it of what they cannot read only."""

import re
import tomllib

Path = tuple[str, ...]

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
