"""The record of an erasure, and what the partner is told of it: rules without I/O.

The record must say whom an erasure was for, and must not be what was to be erased. So it holds a mark: whoever has the
id finds the record by it, and nobody reads the id of a UUID out of it. (Ids that are few, as whole numbers are, can be
tried out.) The id itself is in the message for the partner, which is kept until it is taken, and no longer.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from engagement_platform.domain.disclosure import Disclosure, hashed

TYPE = "user.erased"
_TELLING_CHARACTERS = 16
FIRST_REST, LONGEST_REST = 60.0, 3_600.0
"""Seconds between tries at a partner that does not take the message."""


class State(StrEnum):
    """What an erasure came to at one sink."""

    ERASED = "erased"
    """Nothing of the user is left there."""
    KEPT = "kept"
    """It cannot be erased there; `until` says when it goes."""
    TOLD = "told"
    """The partner has taken the message."""
    WAITING = "waiting"
    """The partner has not taken it yet; it is sent again."""
    NOTHING = "nothing"
    """Nothing of the user was ever there."""


class SinkOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an erasure came to at one sink."""

    state: State
    note: str = ""
    until: datetime | None = None
    """When what is kept goes by itself; None with KEPT: when somebody removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One user of one stream whom somebody had erased, without the user's id."""

    number: int
    user_mark: str
    who: str
    begun_at: datetime
    ended_at: datetime | None
    """None while it is under way, and where its process ended meanwhile: the command goes on with it."""
    outcomes: Mapping[str, SinkOutcome] = field(default_factory=dict)
    """Sink -> what it came to there."""
    message_id: str = ""
    tries: int = 0
    answer: str = ""
    """The partner's last answer."""


def mark_of(stream: str, user: str | int) -> str:
    """Return by what the record of a user's erasure is found."""
    return hashlib.sha256(f"{stream}:user:{user}".encode()).hexdigest()


def partners_id(disclosure: Disclosure, user: str | int) -> str | int | None:
    """Return by what the partner knows a user; None where it knows none."""
    hidden = disclosure.fields is not None and disclosure.user not in disclosure.fields
    if disclosure.user is None or hidden or disclosure.user_id == "drop":
        return None
    return hashed(str(user), disclosure.hash_key) if disclosure.user_id == "hash" else user


def message(disclosure: Disclosure, partners: str | int, at: datetime) -> bytes:
    """Return the body for the partner, as Standard Webhooks has it: type, time, data."""
    data = {"stream": disclosure.stream, "field": disclosure.user, "user": partners}
    return msgspec.json.encode({"type": TYPE, "timestamp": at.astimezone(UTC), "data": data})


def texts_of(column: str, *ids: str | int | None) -> Sequence[str]:
    """Return the texts by which a user's ids stand in JSON that was sent or kept, compact or not.

    A long one is looked for wherever it stands; a short one, and a number, only as the value of the column.
    """
    return tuple(dict.fromkeys(text for one in ids if one is not None for text in _texts(column, one)))


def _texts(column: str, one: str | int) -> Iterator[str]:
    if isinstance(one, str) and len(one) >= _TELLING_CHARACTERS:
        yield one
        return
    value = msgspec.json.encode(one).decode()
    for space in ("", " "):
        for end in ("",) if isinstance(one, str) else (",", "}", " "):
            yield f'"{column}":{space}{value}{end}'


def rest(tries: int, asked: float | None) -> float:
    """Return for how many seconds a message rests after some tries in vain; `asked` is what the partner wants."""
    doubled: float = FIRST_REST * 2 ** min(tries, 10)
    return min(max(asked or 0.0, doubled), LONGEST_REST)


def outcomes_of(kept: Mapping[str, Any]) -> dict[str, SinkOutcome]:
    """Return outcomes as they were kept."""
    return msgspec.convert(kept, dict[str, SinkOutcome])
