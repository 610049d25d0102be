"""Dead letters: what they hold, and how an operator handles them by their address, their state, which ones are meant.

The topic of letters is append-only. What people have done with a letter stands beside it, as actions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

import msgspec

from engagement_platform.domain.nesting import decoded, is_json

NO_EVENT = msgspec.Raw(b"null")


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that could not be delivered: why, and enough to find it again. Value of the dead-letter topic."""

    source: str
    """Who gave it up: relay, tally, forward or stage."""
    event_id: int | None
    reason: str
    excerpt: str
    """The beginning of the event, or of what stands in its place; at most `EXCERPT_CHARACTERS`."""
    at: datetime
    status: int | None = None
    """HTTP status of the last answer, where there was one."""
    response: str | None = None
    """The beginning of that answer's body; at most `EXCERPT_CHARACTERS`."""
    first_try: datetime | None = None
    last_try: datetime | None = None
    event: msgspec.Raw = NO_EVENT
    """The event as it stands in the message's value; `NO_EVENT` where it was too large, or is none."""
    key: str | None = None
    """The key under which it was sent."""


EXCERPT_CHARACTERS = 500

_LETTER_BYTES = 8 << 10
"""What a letter has at most beside the event: reason, excerpts, times, and Kafka's own."""

_letter_decoder = msgspec.json.Decoder(DeadLetter)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Return the value of the message for the dead-letter topic."""
    return msgspec.json.encode(letter)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Read one message of the dead-letter topic. Raises msgspec.ValidationError or msgspec.DecodeError."""
    letter, aside = decoded(_letter_decoder.decode, value)
    return msgspec.structs.replace(letter, event=msgspec.Raw(aside["event"])) if "event" in aside else letter


def kept(value: bytes, largest: int) -> msgspec.Raw:
    """Return what a letter keeps of a message: all of it, or `NO_EVENT` where it is too large or no JSON.

    `largest` is the `max.message.bytes` of the topic of letters.
    """
    return msgspec.Raw(value) if len(value) + _LETTER_BYTES <= largest and _fits_a_letter(value) else NO_EVENT


def _fits_a_letter(value: bytes) -> bool:
    try:
        value.decode()
        msgspec.json.decode(value, type=msgspec.Raw)  # numbers of any size are JSON, too
    except RecursionError:
        return is_json(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


class Address(NamedTuple):
    """Where a letter lies in the topic of letters, written as partition:offset."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


def address_of(text: str) -> Address:
    """Read an address such as 0:17. Raises ValueError."""
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text!r} is no address of a letter, such as 0:17")
    return Address(int(partition), int(offset))


class DeadLetterState(Enum):
    """What has become of a letter."""

    OPEN = "open"
    REDRIVING = "redriving"
    """A redrive has begun and has not ended, perhaps because its process died: it is to be done again."""
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


UNSETTLED = frozenset({DeadLetterState.OPEN, DeadLetterState.REDRIVING})
"""The states in which somebody has to do something."""


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody has done with a letter."""

    kind: str
    """redrive or discard."""
    who: str
    why: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str | None
    """done or failed; None while it has not ended."""
    note: str
    """What came of it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, where it lies, and what was done with it, in the order of time."""

    address: Address
    content: DeadLetter
    actions: Sequence[Action] = ()

    @property
    def state(self) -> DeadLetterState:
        """What has become of it."""
        return state(self.actions)


def state(actions: Sequence[Action]) -> DeadLetterState:
    """Return what has become of a letter. A redrive that failed leaves it as open as it was."""
    if not actions:
        return DeadLetterState.OPEN
    last = actions[-1]
    if last.outcome is None:
        return DeadLetterState.REDRIVING
    if last.outcome == "failed":
        return DeadLetterState.OPEN
    return DeadLetterState.DISCARDED if last.kind == "discard" else DeadLetterState.REDRIVEN


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant: those for which everything holds that is given."""

    reason: str = ""
    """Part of the reason, in any case of letters."""
    sources: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    """The time before which the letters were written."""
    event_ids: Collection[int] = ()
    addresses: Collection[Address] = ()
    states: Collection[DeadLetterState] = tuple(DeadLetterState)
    ends: Collection[Address] = ()
    """Of each partition the address before which the letters lie: those that come meanwhile are not meant."""

    def has(self, letter: Letter) -> bool:
        """Say whether a letter is meant."""
        content = letter.content
        return (
            self.reason.casefold() in content.reason.casefold()
            and (not self.sources or content.source in self.sources)
            and (self.since is None or content.at >= self.since)
            and (self.until is None or content.at < self.until)
            and (not self.event_ids or content.event_id in self.event_ids)
            and (not self.addresses or letter.address in self.addresses)
            and (not self.ends or any(_lies_before(letter.address, end) for end in self.ends))
            and letter.state in self.states
        )


def _lies_before(address: Address, end: Address) -> bool:
    return address.partition == end.partition and address.offset < end.offset
