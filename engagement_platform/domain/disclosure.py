"""Which fields of an event leave the house, and how they look to the partner.

The selection names what leaves, so a field that is added to the events stays inside until somebody names it.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import msgspec

from engagement_platform.domain.nesting import decoded
from engagement_platform.domain.signing import event_key
from engagement_platform.domain.stream_names import PACKAGED

KEY = "key"
"""The field by which the partner knows an event again; a stream's column of that name cannot stand beside it."""

UserId = Literal["keep", "drop", "hash"]

_MISSING = msgspec.Raw(b"null")
"""A field that a message of an older form has not."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What the partner may see of the events of a stream."""

    stream: str = PACKAGED
    fields: tuple[str, ...] | None = None
    """None: every field that a message has."""
    user: str | None = None
    """The column that names a person."""
    user_id: UserId = "keep"
    """What becomes of that column."""
    hash_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.user_id not in get_args(UserId) or (self.user_id == "hash" and not self.hash_key):
            raise ValueError("a user's id is kept, dropped, or hashed with a key")
        if self.user_id != "keep" and self.user is None:
            raise ValueError(f"the stream {self.stream} has no column that names a person")


def fields_of(text: str, columns: Sequence[str]) -> tuple[str, ...] | None:
    """Return the columns that a text names with commas between, in the order of the message; None when it is empty.

    Raises ValueError for what is no column, and where one would stand in the place of the event's key.
    """
    named = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := named.difference(columns):
        raise ValueError(f"there is no field {', '.join(sorted(unknown))}; there are {', '.join(columns)}")
    if KEY in (named or columns):
        raise ValueError(
            f"the stream's column {KEY} would stand in the place of the event's key: name the fields without it, or "
            "give it another name in enriched.sql with AS"
        )
    return tuple(name for name in columns if name in named) if named else None


def hashed(user_id: str, key: bytes) -> str:
    """Return the HMAC-SHA256 of a user's id in hexadecimal: the same user has the same one, and only the key tells who.

    A UUID counts in its canonical form, lower case.
    """
    canonical = user_id.lower() if _UUID.fullmatch(user_id) else user_id
    return hmac.digest(key, canonical.encode(), "sha256").hex()


def object_of(value: bytes, event_id: int, disclosure: Disclosure) -> bytes:
    """Return the JSON object that the partner gets for a message's value: its key first, then the fields that leave.

    Values are passed on as they stand in the message, to the last digit.
    """
    parts, aside = decoded(_parts.decode, value)
    for name, text in aside.items():
        parts[name] = msgspec.Raw(text)
    if disclosure.fields is not None:
        parts = {name: parts.get(name, _MISSING) for name in disclosure.fields}
    user = disclosure.user
    if user in parts and disclosure.user_id == "drop":
        del parts[user]
    elif user in parts and disclosure.user_id == "hash" and (raw := bytes(parts[user])) != b"null":
        parts[user] = msgspec.Raw(b'"%s"' % hashed(_text_of(raw), disclosure.hash_key).encode())
    fields = msgspec.json.encode(parts)[1:-1]  # as they stand: a `Raw` is written as it was read
    key = b'"%s":"%s"' % (KEY.encode(), event_key(disclosure.stream, event_id).encode())
    return b"{%s,%s}" % (key, fields) if fields else b"{%s}" % key


def _text_of(raw: bytes) -> str:
    """Return a text without its quotes, and any other value as it stands in JSON."""
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()


def body_of(objects: Sequence[bytes], *, as_array: bool) -> bytes:
    """Return the body of a request: a JSON array, or the one object."""
    if as_array:
        return b"[%s]" % b",".join(objects)
    (only,) = objects
    return only
