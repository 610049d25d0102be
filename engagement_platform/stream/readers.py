"""Reads the messages of a stream, whatever the number of their schema."""

from collections.abc import Iterable
from typing import Any

import msgspec

from engagement_platform.adapters.kafka.record import Record
from engagement_platform.domain.batches import Line, Lines, Rejected
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.messages import HEADER_SCHEMA_VERSION
from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.records import Reader
from engagement_platform.domain.schema_history import SchemaHistory
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import history_at_hand, history_put_back

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_MAX_DIGITS = 9
_MAX_HEADERS = 10_000


class Readers:
    """What reads messages of each schema that is known. For one thread at a time.

    One list of columns reads them all: see `domain.schema_history`. So the number of a message says only whether that
    list is long enough: of a number that is new to it a reader asks the platform database, once, and where that is away
    or has lost it the relay's checkpoint. It waits only for a number that neither has while the first is away. What was
    asked is kept for as long as the process lives: a number means one schema for ever.
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
            self._take(history_at_hand(self._settings))
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
        """Ask anew. Raises Unavailable."""
        self._take(history_at_hand(self._settings))

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
        self._take(self._history_with(numbers))
        return self.schema != was

    def _history_with(self, numbers: set[int]) -> SchemaHistory:
        """Return all schemas, with those of some numbers, unless these are of another program.

        A number is kept in the platform database before a message has it: one that is missing there was lost, and the
        relay's checkpoint has it. A number that the relay has not come to is of another program, whose message is read
        as far as it can be.
        """
        history = history_at_hand(self._settings, numbers)
        if not numbers - history.numbered.keys():
            return history
        history, messages = history_put_back(self._settings)
        lost = [one for one in numbers - history.numbered.keys() if one <= messages.highest]
        if lost:
            raise _lost(min(lost), history)
        return history

    def _take(self, history: SchemaHistory) -> None:
        """Add what is known now to what was: the platform database may have been put back to an earlier copy."""
        if self._history is not None:
            history = SchemaHistory({**self._history.numbered, **history.numbered})
        self._history = history
        if self._lines is None or self._lines.reader.schema != history.whole:
            self._lines = Lines(history.whole)


def _lost(number: int, history: SchemaHistory) -> StreamStopped:
    return StreamStopped(
        f"Messages have the schema {number}, which the platform database does not know: it has"
        f" {', '.join(map(str, sorted(history.numbered)))}. It was emptied, or put back to an earlier copy, and the"
        " checkpoint was written by a version that does not keep schemas there.",
        "Nothing is lost: the relay enters its schema anew when its next run begins, and this goes on by"
        " itself. Where an earlier schema is missing, put the table stream_schema back from a later copy.",
    )


def _is_number(value: bytes | None) -> bool:
    return value is not None and value.isdigit() and len(value) <= _MAX_DIGITS
