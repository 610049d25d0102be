"""Which fields of an event leave the house, and how they look to the partner.

The selection names what leaves, so a field that is added to the events stays inside until somebody names it.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import msgspec

from engagement_platform.domain.event import ENGAGEMENT
from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.signing import event_key

FIELDS: tuple[str, ...] = ENGAGEMENT.names
"""All fields of an event, in the order of the message."""

UserId = Literal["keep", "drop", "hash"]

_MISSING = msgspec.Raw(b"null")
"""A field that a message of an older form has not."""
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the partner may see."""

    fields: tuple[str, ...] = FIELDS
    user_id: UserId = "keep"
    hash_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.user_id not in get_args(UserId) or (self.user_id == "hash" and not self.hash_key):
            raise ValueError("a user_id is kept, dropped, or hashed with a key")


def fields_of(text: str) -> tuple[str, ...]:
    """Return the fields that a text names with commas between, in the order of the message; all when it is empty.

    Raises ValueError for what is no field.
    """
    named = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := named.difference(FIELDS):
        raise ValueError(f"there is no field {', '.join(sorted(unknown))}; there are {', '.join(FIELDS)}")
    return tuple(name for name in FIELDS if name in named) if named else FIELDS


def hashed(user_id: str, key: bytes) -> str:
    """Return the HMAC-SHA256 of a user id in hexadecimal: the same user has the same one, and only the key tells who.

    `user_id` is the UUID in its canonical form, lower case.
    """
    return hmac.digest(key, user_id.encode(), "sha256").hex()


def object_of(value: bytes, event_id: int, disclosure: Disclosure) -> bytes:
    """Return the JSON object that the partner gets for a message's value: its key first, then the fields that leave.

    Values are passed on as they stand in the message, to the last digit.
    """
    parts, aside = decoded(_parts.decode, value)
    shown = [b'"key":"%s"' % event_key(event_id).encode()]
    for name in disclosure.fields:
        if name == "user_id" and disclosure.user_id == "drop":
            continue
        raw = aside.get(name) or bytes(parts.get(name, _MISSING))
        if name == "user_id" and disclosure.user_id == "hash" and raw != b"null":
            raw = b'"%s"' % hashed(msgspec.json.decode(raw, type=str).lower(), disclosure.hash_key).encode()
        shown.append(b'"%s":%s' % (name.encode(), raw))
    return b"{%s}" % b",".join(shown)


def body_of(objects: Sequence[bytes], *, as_array: bool) -> bytes:
    """Return the body of a request: a JSON array, or the one object."""
    if as_array:
        return b"[%s]" % b",".join(objects)
    (only,) = objects
    return only
