"""What a read of the relay returns, and where it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.ledger import EVERYTHING

BEYOND_JSON = 1 << 30
"""Bytes of text that PostgreSQL cannot build, so that nobody knows how many there would be."""


class Row(NamedTuple):
    """One event as the read returns it."""

    id: int
    key: bytes | None
    """The content id as text."""
    value: bytes
    """The message, or its beginning when `bytes` is over the limit of the read."""
    bytes: int
    has_timestamp: bool | None
    """Whether RFC 3339 can carry event_ts."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What one read returned: ascending by id; `cut` when a limit ended it."""

    rows: Sequence[Row]
    cut: bool
    last_given: int | None = EVERYTHING
    """The id that the sequence had given last, after the snapshot was taken; None where the role may not see it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a read ends: events, bytes of all messages (the last may exceed it), bytes of one message."""

    rows: int
    bytes: int
    message_bytes: int


class Altered(Unavailable):
    """Table, sequence or columns are not those of the last look: nothing may be concluded from what was read."""

    def __init__(self) -> None:
        super().__init__("The source was altered at this moment.", "It is looked at anew.")
