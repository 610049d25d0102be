"""Cuts the text of a statement into code, texts, quoted names and comments, as PostgreSQL and as BigQuery do.

In PostgreSQL `/* a /* b */ c */` is one comment, in BigQuery it ends at the first `*/`. What is never closed counts as
code, so that the server says so.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto


class Part(Enum):
    """What a piece of a statement is."""

    CODE = auto()
    TEXT = auto()
    """With its quotes."""
    NAME = auto()
    """A quoted one, with its quotes."""
    COMMENT = auto()


Pieces = Iterator[tuple[Part, str]]

_POSTGRES = re.compile(
    r"""(?P<text>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'(?:\s*\n\s*'(?:[^'\\]|\\.|'')*')* | '(?:[^']|'')*'
        | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<name>"(?:[^"]|"")*")
    | (?P<comment>--[^\n\r]* | /\*)""",
    re.VERBOSE | re.DOTALL,
)
_BIGQUERY = re.compile(
    r"""(?P<text>'{3}(?:[^\\]|\\.)*?'{3} | "{3}(?:[^\\]|\\.)*?"{3} | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
    | (?P<name>`(?:[^`\\]|\\.)*`)
    | (?P<comment>(?:--|\#)[^\n]* | /\*.*?\*/)""",
    re.VERBOSE | re.DOTALL,
)
_PARTS = {"text": Part.TEXT, "name": Part.NAME, "comment": Part.COMMENT}
_OPEN = "/*"
_BRACKETS = re.compile(r"/\*|\*/")


def pieces_of(text: str) -> Pieces:
    """Yield the pieces of a statement of PostgreSQL, in their order: together they are the text."""
    return _pieces(text, _POSTGRES)


def pieces_of_bigquery(text: str) -> Pieces:
    """Yield the same of a statement in BigQuery's dialect."""
    return _pieces(text, _BIGQUERY)


def _pieces(text: str, not_code: re.Pattern[str]) -> Pieces:
    at = 0
    while match := not_code.search(text, at):
        begin, end = match.span()
        if match[0] == _OPEN:
            end = _end_of_comment(text, begin)
            if not end:
                break
        if at < begin:
            yield Part.CODE, text[at:begin]
        yield _PARTS[match.lastgroup or ""], text[begin:end]
        at = end
    if at < len(text):
        yield Part.CODE, text[at:]


def _end_of_comment(text: str, begin: int) -> int:
    """Return where a comment ends that may have others in it; 0 where it does not."""
    depth = 0
    for bracket in _BRACKETS.finditer(text, begin):
        depth += 1 if bracket[0] == _OPEN else -1
        if not depth:
            return bracket.end()
    return 0
