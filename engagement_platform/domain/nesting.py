"""JSON that is nested deeper than a parser follows: read all the same, without recursion.

PostgreSQL takes documents that are nested some thousand levels deep, parsers give up at about a thousand. Nobody here
looks into such a document: it is set aside as it stands, and the rest of the message is decoded without it. The walk is
in Python, so it is for the few messages at which the decoder gives up.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

_T = TypeVar("_T")

_STRING = rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
_SCALAR = rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null"
_TOKEN = re.compile(rb"[ \t\n\r]*(?:([{}\[\],:])|(" + _STRING + rb")|(?:" + _SCALAR + rb"))")
_SPACE = b" \t\n\r"
_CLOSES = {ord("}"): ord("{"), ord("]"): ord("[")}

# What may come next.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _AFTER = range(6)


def set_aside(text: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return a JSON object with `[]` in place of the arrays and objects in it, and these by their names.

    Raises ValueError for what is no JSON object in UTF-8.
    """
    aside, name = dict[str, bytes](), ""
    for begin, end in _walk(text, 2):
        token = text[begin:end]
        if token.startswith(b'"'):
            name = msgspec.json.decode(token, type=str)
            aside.pop(name, None)  # of several members with one name the last counts
        else:
            aside[name] = token
    if not text.lstrip(_SPACE).startswith(b"{"):
        raise ValueError("no JSON object")
    return flattened(text, 1), aside


def flattened(text: bytes, levels: int) -> bytes:
    """Return a JSON value with `[]` in place of the arrays and objects below so many levels. Raises ValueError."""
    shallow, copied = bytearray(), 0
    for begin, end in _walk(text, levels + 1):
        if not text.startswith(b'"', begin):
            shallow += text[copied:begin] + b"[]"
            copied = end
    return bytes(shallow + text[copied:])


def is_json(text: bytes) -> bool:
    """Say whether a text is one JSON value in UTF-8, however deep it is nested."""
    try:
        flattened(text, 0)
    except ValueError:
        return False
    return True


def decoded(decode: Callable[[bytes], _T], value: bytes) -> tuple[_T, dict[str, bytes]]:
    """Decode an object, and return with it what was set aside because it is nested too deeply: mostly nothing.

    A field of any JSON then holds `[]`, to be replaced by what was set aside under its name. Raises what `decode`
    raises, and msgspec.DecodeError for what is no JSON.
    """
    try:
        return decode(value), {}
    except RecursionError:
        pass
    try:
        shallow, aside = set_aside(value)
    except ValueError as error:
        raise msgspec.DecodeError(f"JSON is malformed: {error}") from None
    return decode(shallow), aside


def _walk(text: bytes, depth: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the arrays and objects at a depth, and of the keys beside them. Raises ValueError."""
    text.decode()
    open_, begins, state, at = bytearray(), list[int](), _VALUE, 0
    while state != _AFTER or open_:
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"no JSON at byte {at}")
        at = token.end()
        mark = token[1][0] if token[1] else 0
        if mark in b"{[" and mark:
            _require(state in (_VALUE, _VALUE_OR_END), at)
            open_.append(mark)
            begins.append(at - 1)
            state = _KEY_OR_END if mark == ord("{") else _VALUE_OR_END
        elif mark in _CLOSES:
            _require(_may_close(state, open_, mark), at)
            if len(open_) == depth:
                yield begins[-1], at
            open_.pop()
            begins.pop()
            state = _AFTER
        elif state in (_KEY, _KEY_OR_END):
            _require(token[2] is not None, at)
            if len(open_) == depth - 1:
                yield token.start(2), at
            state = _COLON
        else:
            state = _next(state, open_, mark, at)
    _require(not text[at:].strip(_SPACE), at)


def _may_close(state: int, open_: bytearray, mark: int) -> bool:
    empty = _KEY_OR_END if mark == ord("}") else _VALUE_OR_END
    return bool(open_) and open_[-1] == _CLOSES[mark] and state in (_AFTER, empty)


def _next(state: int, open_: bytearray, mark: int, at: int) -> int:
    """Return what may come behind a scalar (mark 0), a comma or a colon."""
    if mark == ord(","):
        _require(state == _AFTER, at)
        return _KEY if open_[-1] == ord("{") else _VALUE
    if mark == ord(":"):
        _require(state == _COLON, at)
        return _VALUE
    _require(state in (_VALUE, _VALUE_OR_END), at)
    return _AFTER


def _require(fits: bool, at: int) -> None:
    if not fits:
        raise ValueError(f"no JSON before byte {at}")
