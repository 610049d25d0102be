"""Reads one answer of HTTP/1.1 as it stands in RFC 9112, to its final status; stricter than http.client.

An answer counts by its final status once its head has come to its end. Whether a next request may use the connection is
another question: only when nothing of the answer was out of order and not a byte follows it.
"""

import http
import http.client
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

MAX_BODY_BYTES: Final = 1 << 16
"""Of a longer body the rest is not read, and the connection is closed."""
MAX_HEAD_BYTES: Final = 1 << 16
MAX_INFORMATIONAL: Final = 32
"""Informational answers (1xx) before the final one."""
_MAX_LINE_BYTES = 4096
"""Of the line before a chunk."""
_UNFRAMED_SECONDS = 0.5
"""For how long the body of an answer is read that does not say where it ends, in a way that can be trusted."""

_WITHOUT_BODY = frozenset({http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED})

_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
_DIGITS = re.compile(rb"\d{1,18}")


class NoReply(http.client.HTTPException):
    """What came is no answer that could be believed. The text repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A final answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """Its first `MAX_BODY_BYTES`, or what of them came in time; without chunks, not unpacked."""
    begins: int
    """How many bytes had come on the connection before it: those of informational answers."""
    keeps: bool
    """Whether the connection can be used again."""


class Reader:
    """The bytes of a connection, until a deadline of time.monotonic().

    `receive` waits so many seconds at most and returns what came, nothing at the end of the stream.
    """

    def __init__(self, receive: Callable[[float], bytes], until: float, begun: bytes = b"") -> None:
        self._receive = receive
        self._until = until
        self._buffer = bytearray(begun)
        self.consumed = 0

    @property
    def rest(self) -> int:
        """How many bytes have come that nobody has asked for."""
        return len(self._buffer)

    def hurry(self, seconds: float) -> None:
        """Bring the deadline forward."""
        self._until = min(self._until, time.monotonic() + seconds)

    def line(self, most: int) -> bytes:
        """Return a line with its end. Raises NoReply when it is longer or breaks off, and TimeoutError."""
        while (end := self._buffer.find(b"\n", 0, most)) < 0:
            if len(self._buffer) >= most:
                raise NoReply("its answer has a line without an end")
            if not self._more():
                raise NoReply("it closed the connection before its answer was whole")
        return self._take(end + 1)

    def some(self, most: int) -> bytes:
        """Return up to `most` bytes, none at the end of the stream. Raises TimeoutError."""
        if not self._buffer:
            self._more()
        return self._take(most)

    def _take(self, most: int) -> bytes:
        taken = bytes(self._buffer[:most])
        del self._buffer[:most]
        self.consumed += len(taken)
        return taken

    def _more(self) -> bool:
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the answer took too long")
        received = self._receive(seconds)
        self._buffer += received
        return bool(received)


@dataclass(frozen=True, slots=True)
class _Head:
    minor: int
    """Of the version HTTP/1.x."""
    status: int
    headers: tuple[tuple[str, str], ...]
    is_clean: bool

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name]

    @property
    def is_framed(self) -> bool:
        """Whether it says that a body follows."""
        return bool(self.values("content-length") or self.values("transfer-encoding"))


def read(reader: Reader) -> Reply:
    """Return the final answer. Raises NoReply, TimeoutError when its head does not come in time, and OSError."""
    begins = reader.consumed
    head = _read_head(reader)
    informational = 0
    while head.status < 200:
        informational += 1
        if head.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            raise NoReply("it wants to speak another protocol (status 101)")
        if not head.is_clean or head.is_framed:
            raise NoReply(f"an informational answer (status {head.status}) is malformed or has a body")
        if informational > MAX_INFORMATIONAL:
            raise NoReply(f"no final answer after {MAX_INFORMATIONAL} informational ones")
        begins = reader.consumed
        head = _read_head(reader)
    body, is_whole = _read_body(reader, head)
    is_clear = head.is_clean and head.status < 600 and not (head.status in _WITHOUT_BODY and head.is_framed)
    keeps = is_whole and is_clear and head.minor > 0 and not _closes(head)
    return Reply(head.status, head.headers, body, begins, keeps=keeps and reader.rest == 0)


def _read_head(reader: Reader) -> _Head:
    first = reader.line(MAX_HEAD_BYTES)
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise NoReply("its answer is no HTTP/1.1")
    headers, is_clean = _read_fields(reader, MAX_HEAD_BYTES - len(first))
    return _Head(int(match[1]), int(match[2]), headers, is_clean and first.endswith(b"\r\n"))


def _read_fields(reader: Reader, most: int) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Return the fields up to the empty line, and whether all of it was in order; what is not in order is left out."""
    fields: list[tuple[str, str]] = []
    is_clean = True
    while True:
        line = reader.line(max(most, 0))
        most -= len(line)
        if line in (b"\r\n", b"\n"):
            return tuple(fields), is_clean and line == b"\r\n"
        if match := _HEADER.fullmatch(line):
            fields.append((match[1].decode("ascii"), match[2].decode("latin-1")))
        else:
            is_clean = False


def _closes(head: _Head) -> bool:
    tokens = {token.strip().lower() for value in head.values("connection") for token in value.split(",")}
    return "close" in tokens


def _read_body(reader: Reader, head: _Head) -> tuple[bytes, bool]:
    """Return the body's beginning, and whether that was all of it; never raises: the status counts all the same."""
    body = bytearray()
    try:
        is_whole = _fill(reader, head, body)
    except (NoReply, OSError):  # TimeoutError is one
        is_whole = False
    return bytes(body), is_whole


def _fill(reader: Reader, head: _Head, body: bytearray) -> bool:
    length = _length(head)
    if length == "chunked":
        return _read_chunks(reader, body)
    if length == "unknown":
        reader.hurry(_UNFRAMED_SECONDS)
        _read_bytes(reader, body, MAX_BODY_BYTES)
        return False
    return _read_bytes(reader, body, length)


def _length(head: _Head) -> int | Literal["chunked", "unknown"]:
    """Return how long the body is; unknown when it ends with the connection, or what is said of it is not clear."""
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    if head.status in _WITHOUT_BODY:
        return 0
    if codings:
        is_clear = not lengths and head.minor > 0 and [coding.lower() for coding in codings] == ["chunked"]
        return "chunked" if is_clear else "unknown"
    if len(lengths) == 1 and _DIGITS.fullmatch(lengths[0].encode("latin-1")):
        return int(lengths[0])
    return "unknown"


def _read_bytes(reader: Reader, body: bytearray, number: int) -> bool:
    """Add so many bytes to the body, at most `MAX_BODY_BYTES`; return whether all came."""
    end = len(body) + number
    while len(body) < min(end, MAX_BODY_BYTES):
        received = reader.some(min(end, MAX_BODY_BYTES) - len(body))
        if not received:
            return False
        body += received
    return len(body) == end


def _read_chunks(reader: Reader, body: bytearray) -> bool:
    """Add the chunks to the body; return whether they came to their end in order."""
    while match := _CHUNK.fullmatch(reader.line(_MAX_LINE_BYTES)):
        size = int(match[1], 16)
        if size == 0:
            _, is_clean = _read_fields(reader, MAX_HEAD_BYTES)
            return is_clean
        if not _read_bytes(reader, body, size) or reader.line(2) != b"\r\n":
            return False
    return False
