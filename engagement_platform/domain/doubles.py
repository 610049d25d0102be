"""Messages that come again. A publisher that publishes at least once repeats, after a crash, what it had not noted yet.

The relay publishes each event once. Debezium, which may stand in its place, does so only in a worker that publishes
exactly once. It says of each message where its change stands in the database's log, in the header `source`: the commit
before that of its own transaction, and the change itself (`source.sequence`). By these two changes are in the order in
which they were committed, as they are within a partition, and what comes again is not behind the latest.

Source: https://debezium.io/documentation/reference/stable/connectors/postgresql.html, `sequence` of the block `source`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from engagement_platform.domain.messages import HEADER_UNSEEN_AT

HEADER_SOURCE = "source"
"""Header with Debezium's block `source`, as JSON."""


class LogPosition(NamedTuple):
    """Where a change stands in the log of a database."""

    committed: int
    """The latest commit before its transaction's; 0 where there was none."""
    written: int
    """The change itself, which may have been written before other transactions were committed."""
    unseen_at: int
    """When its transaction began, or the latest that began before it, in microseconds since 1970."""


LogPositions = Mapping[int, LogPosition]
"""partition -> that of the latest message."""


class _Source(msgspec.Struct):
    sequence: str


_SOURCE = msgspec.json.Decoder(_Source)
_SEQUENCE = msgspec.json.Decoder(tuple[str | None, str])


class Headed(Protocol):
    """What has headers: a message."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Its headers, in order."""


Message = TypeVar("Message", bound=Headed)


def position_of(headers: Iterable[tuple[str, bytes]]) -> LogPosition | None:
    """Return where the change of a message stands; None where its headers do not say it, as the relay's do not."""
    source = unseen = None
    for name, value in headers:
        if name == HEADER_SOURCE:
            source = value
        elif name == HEADER_UNSEEN_AT:
            unseen = value
    if source is None or unseen is None:
        return None
    try:
        committed, written = _SEQUENCE.decode(_SOURCE.decode(source).sequence)
        return LogPosition(int(committed or 0), int(written), int(unseen))
    except (msgspec.MsgspecError, ValueError):  # another program's header of that name
        return None


def is_double(one: LogPosition, latest: LogPosition) -> bool:
    """Say whether a change was published before.

    Both have to say so. A database that was put back, or made anew, writes its log from an earlier position on: what it
    has then is new, and was begun later than all before.
    """
    return one[:2] <= latest[:2] and one.unseen_at <= latest.unseen_at


def fresh(messages: list[Message], latest: LogPosition | None) -> tuple[list[Message], LogPosition | None]:
    """Return the messages of a partition without those that come again, and the position of the latest.

    `latest` is that of the messages before them. A message that does not say where it stands is never left out.
    """
    kept = []
    for message in messages:
        position = position_of(message.headers)
        if position is not None:
            if latest is not None:
                if is_double(position, latest):
                    continue
                position = position._replace(unseen_at=max(position.unseen_at, latest.unseen_at))
            latest = position
        kept.append(message)
    return kept, latest


def to_text(position: LogPosition) -> str:
    """Return a position as text."""
    return " ".join(map(str, position))


def from_text(text: str) -> LogPosition:
    """Return the position that `to_text` was given. Raises ValueError when the text is none."""
    committed, written, unseen_at = map(int, text.split(" "))
    return LogPosition(committed, written, unseen_at)
