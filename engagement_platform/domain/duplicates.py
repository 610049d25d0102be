"""Messages that come again: after a crash a publisher that publishes at least once repeats what it had not noted yet.

The relay publishes each event once. Debezium, which may stand in its place, does so only in a worker that publishes
exactly once. Of each message it says, in the header `source`, where its change stands in the write-ahead log of which
database, and when its transaction was committed. Changes are published in the order of their commits, and those of one
transaction in the order of the log; a partition keeps that order. So what comes again is not behind the latest.

A new event that is taken for a duplicate is lost, and a duplicate that is taken for new is counted twice. Where the
header leaves both open, a message is new.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html, the block `source`; what
`sequence` is behind a restart: `PostgresOffsetContext.Loader` of Debezium 3.6.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar
from zlib import crc32

import msgspec

HEADER_SOURCE = "source"
"""Header with Debezium's block `source`, as JSON."""


class WalPosition(NamedTuple):
    """Where a change stands in the write-ahead log of a database, as its publisher tells it."""

    origin: int
    """Whose log: a digest of the connector's and the database's names."""
    transaction: int
    committed: int
    """LSN of a commit before the transaction's own, and behind all others before it; 0 where none is known.

    None is for the first transaction of a connector without stored offsets, and another one may be known when that
    comes again.
    """
    written: int
    """LSN of the change itself. Those of transactions beside each other are mixed."""
    committed_at: int
    """When the transaction was committed, in microseconds since 1970; of the latest, the latest such time so far."""


WalPositions = Mapping[int, WalPosition]
"""partition -> that of its latest message."""


class _Source(msgspec.Struct):
    name: str
    db: str
    transaction: int = msgspec.field(name="txId")
    committed_at: int = msgspec.field(name="ts_us")
    sequence: str


_SOURCE = msgspec.json.Decoder(_Source)
_SEQUENCE = msgspec.json.Decoder(tuple[str | None, str])


class WithHeaders(Protocol):
    """A message."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""


AnyMessage = TypeVar("AnyMessage", bound=WithHeaders)


def position_of(headers: Iterable[tuple[str, bytes]]) -> WalPosition | None:
    """Return where the change of a message stands; None where its headers do not say it, as the relay's do not."""
    told = next((value for name, value in headers if name == HEADER_SOURCE), None)
    if told is None:
        return None
    try:
        source = _SOURCE.decode(told)
        committed, written = _SEQUENCE.decode(source.sequence)
        origin = crc32(f"{source.name}\0{source.db}".encode())
        return WalPosition(origin, source.transaction, int(committed or 0), int(written), source.committed_at)
    except (msgspec.MsgspecError, ValueError):  # another program's header of that name
        return None


def is_duplicate(position: WalPosition, latest: WalPosition) -> bool:
    """Say whether a change was published before, which both its place and the time of its commit have to say.

    A database that was put back, or made anew, writes its log from an earlier LSN on: what it has then is new, and was
    committed later than all before.
    """
    if position.origin != latest.origin or position.committed_at > latest.committed_at:
        return False
    if position.transaction == latest.transaction:
        return position.written <= latest.written
    if not position.committed:
        return position.written <= latest.committed
    return (position.committed, position.written) <= (latest.committed, latest.written)


def without_duplicates(
    messages: Sequence[AnyMessage], latest: WalPosition | None
) -> tuple[list[AnyMessage], WalPosition | None]:
    """Return the messages of a partition without those that come again, and the position of the latest.

    `latest` is that of the messages before them. A message that does not say where it stands is never left out.
    """
    new = []
    for message in messages:
        position = position_of(message.headers)
        if position is not None:
            if latest is not None:
                if is_duplicate(position, latest):
                    continue
                position = position._replace(committed_at=max(position.committed_at, latest.committed_at))
            latest = position
        new.append(message)
    return new, latest


def to_text(position: WalPosition) -> str:
    """Return a position as text."""
    return " ".join(map(str, position))


def from_text(text: str) -> WalPosition:
    """Return the position that `to_text` was given. Raises ValueError when the text is none."""
    numbers = [int(number) for number in text.split(" ")]
    if len(numbers) != len(WalPosition._fields):
        raise ValueError(f"no position in a write-ahead log: {text}")
    return WalPosition(*numbers)
