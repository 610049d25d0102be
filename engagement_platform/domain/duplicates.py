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
from functools import cache
from typing import NamedTuple, Protocol, TypeVar
from zlib import crc32

import msgspec

from engagement_platform.domain.messages import HEADER_SOURCE


class WalPosition(NamedTuple):
    """Where a change stands in the write-ahead log of a database, as its publisher tells it."""

    origin: int
    """Whose log: a digest of the connector's and the database's names."""
    xid: int
    """Its transaction."""
    previous_commit: int
    """LSN of the end of the commit before its transaction's; 0 where none is known.

    None is for the first transaction of a connector without stored offsets, and another one may be known when that
    comes again.
    """
    lsn: int
    """Of the change itself. Those of transactions beside each other are mixed."""
    committed_at: int
    """When its transaction was committed, in microseconds since 1970; of the latest, the latest such time so far."""


WalPositions = Mapping[int, WalPosition]
"""partition -> that of its latest message."""


class _Source(msgspec.Struct):
    name: str
    db: str
    xid: int = msgspec.field(name="txId")
    committed_at: int = msgspec.field(name="ts_us")
    sequence: str


_SOURCE = msgspec.json.Decoder(_Source)
_SEQUENCE = msgspec.json.Decoder(tuple[str | None, str])


class WithHeaders(Protocol):
    """What was read from a topic."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""


Read = TypeVar("Read", bound=WithHeaders)


def position_of(headers: Iterable[tuple[str, bytes]]) -> WalPosition | None:
    """Return where the change of a message stands; None where its headers do not say it, as the relay's do not."""
    for name, value in headers:
        if name == HEADER_SOURCE:
            return _decoded(value)
    return None


def _decoded(value: bytes) -> WalPosition | None:
    try:
        source = _SOURCE.decode(value)
        previous_commit, lsn = _SEQUENCE.decode(source.sequence)
        return WalPosition(
            _origin(source.name, source.db), source.xid, int(previous_commit or 0), int(lsn), source.committed_at
        )
    except (msgspec.MsgspecError, ValueError):  # another program's header of that name
        return None


@cache
def _origin(connector: str, database: str) -> int:
    return crc32(f"{connector}\0{database}".encode())


def is_duplicate(position: WalPosition, latest: WalPosition) -> bool:
    """Say whether a change was published before, which both its position and the time of its commit have to say.

    A database that was put back, or made anew, writes its log from an earlier LSN on: what it has then is new, and was
    committed later than all before.
    """
    if position.origin != latest.origin or position.committed_at > latest.committed_at:
        return False
    if position.xid == latest.xid:
        return position.lsn <= latest.lsn
    if not position.previous_commit:
        return position.lsn < latest.previous_commit
    return position.previous_commit < latest.previous_commit


def without_duplicates(messages: list[Read], latest: WalPosition | None) -> tuple[list[Read], WalPosition | None]:
    """Return the messages of a partition without those that come again, and the position of the latest.

    `latest` is that of the messages before them. A message that does not say where it stands is never left out.
    """
    new = []
    for message in messages:
        position = position_of(message.headers)
        if position is not None:
            if latest is not None and is_duplicate(position, latest):
                continue
            latest = _behind(position, latest)
        new.append(message)
    return new, latest


def _behind(position: WalPosition, latest: WalPosition | None) -> WalPosition:
    if latest is None or latest.origin != position.origin or latest.committed_at <= position.committed_at:
        return position
    return position._replace(committed_at=latest.committed_at)


def to_text(position: WalPosition) -> str:
    """Return a position as text."""
    return " ".join(map(str, position))


def from_text(text: str) -> WalPosition:
    """Return the position that `to_text` was given. Raises ValueError when the text is none."""
    return of_numbers([int(number) for number in text.split(" ")])


def of_numbers(numbers: Sequence[int]) -> WalPosition:
    """Return the position of its numbers; a later version may have added some. Raises ValueError for too few."""
    if len(numbers) < len(WalPosition._fields):
        raise ValueError(f"no position in a write-ahead log: {numbers}")
    return WalPosition(*numbers[: len(WalPosition._fields)])
