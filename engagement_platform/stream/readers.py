"""Reads the messages of a stream, whatever the number of their schema."""

from collections.abc import Iterable
from typing import Any

import msgspec

from engagement_platform.adapters.kafka.checkpoints import open_checkpoints
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.batches import Line, Lines, Rejected
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.messages import HEADER_SCHEMA_VERSION
from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.records import Reader
from engagement_platform.domain.schema_history import SchemaHistory
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import history_of

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_MAX_DIGITS = 9
_MAX_HEADERS = 10_000


class Readers:
    """What reads messages of each schema that is known. For one thread at a time.

    One list of columns reads them all: see `domain.schema_history`. So the number of a message says only whether that
    list is long enough: of a number that is new to it a reader asks the platform database, once, and while that does
    not answer, it waits. What was asked is kept for as long as the process lives: a number means one schema for ever.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._history: SchemaHistory | None = None
        self._lines: Lines | None = None
        self._passed: set[bytes] = set()
        """Values of the header that need no second look."""

    @property
    def history(self) -> SchemaHistory:
        """What is known. Raises Unavailable, until it is."""
        if self._history is None:
            self._take(history_of(self._settings))
        assert self._history is not None, "it was taken"  # noqa: S101
        return self._history

    @property
    def schema(self) -> Schema:
        """All columns that a message may have. Raises Unavailable."""
        return self.lines.reader.schema

    @property
    def lines(self) -> Lines:
        """What makes the line of a message. Raises Unavailable."""
        if self._lines is None:
            self._take(self.history)
        assert self._lines is not None, "it was taken"  # noqa: S101
        return self._lines

    @property
    def reader(self) -> Reader:
        """What reads a message. Raises Unavailable."""
        return self.lines.reader

    def refresh(self) -> None:
        """Ask the platform database anew. Raises Unavailable."""
        self._take(history_of(self._settings))

    def number_of(self, value: bytes) -> int:
        """Return the number of a message that does not say it: the highest one with its columns, or the first."""
        return self.history.number_with(tuple(decoded(_parts, value)[0])) or 1

    def read(self, record: Record) -> Any:
        """Read and validate a message; what is returned has an attribute for each column.

        Raises msgspec.MsgspecError or ValueError for what is no event, and what `meet` does.
        """
        self.meet(record.headers)
        return self.reader.decode(record.value or b"")

    def line_of(self, record: Record) -> Line | Rejected:
        """Check a message and return its line, or why it is none. Raises what `meet` does."""
        self.meet(record.headers)
        return self.lines.of(record.value)

    def meet(self, headers: Iterable[tuple[str, bytes]]) -> bool:
        """Take note of the headers of messages before they are read; say whether there are more columns than before.

        Raises Unavailable while the platform database is asked in vain, and StreamStopped for a number that it has not.
        """
        new = {value for name, value in headers if name == HEADER_SCHEMA_VERSION} - self._passed
        if not new:
            return False
        numbers = {int(value) for value in new if _is_number(value)}
        grown = self._learn(numbers) if numbers - self.history.numbered.keys() else False
        if len(self._passed) < _MAX_HEADERS:
            # Not one of another program: the relay may give that number later.
            self._passed |= {one for one in new if _is_number(one) and int(one) in self.history.numbered}
        return grown

    def _learn(self, numbers: set[int]) -> bool:
        was = self.schema
        history = history_of(self._settings)
        if unknown := numbers - history.numbered.keys():
            self._require_foreign(min(unknown), history)
        self._take(history)
        return self.schema != was

    def _take(self, history: SchemaHistory) -> None:
        """Add what is known now to what was: the platform database may have been put back to an earlier copy."""
        if self._history is not None:
            history = SchemaHistory({**self._history.numbered, **history.numbered})
        self._history = history
        if self._lines is None or self._lines.reader.schema != history.whole:
            self._lines = Lines(history.whole)

    def _require_foreign(self, number: int, history: SchemaHistory) -> None:
        """Raise StreamStopped where the relay gave a number that the platform database has not.

        A number is kept there before a message has it: so it was lost. One that the relay has not come to is of another
        program, whose message is read as far as it can be.
        """
        with open_checkpoints(self._settings) as checkpoints:
            last = checkpoints.last()
        if last is not None and number <= last.schemas:
            raise StreamStopped(
                f"Messages have the schema {number}, which the platform database does not know: it has"
                f" {', '.join(map(str, sorted(history.numbered)))}. It was emptied, or put back to an earlier copy.",
                "Nothing is lost: the relay enters its schema anew when its next run begins, and this goes on by"
                " itself. Where an earlier schema is missing, put the table stream_schema back from a later copy.",
            )


def _is_number(value: bytes | None) -> bool:
    return value is not None and value.isdigit() and len(value) <= _MAX_DIGITS
