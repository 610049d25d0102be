"""Times and numbers that a caller asks with, and what it leaves out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from msgspec import Meta, UnsetType

T = TypeVar("T")

Time = Annotated[
    str,
    Meta(
        pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
        r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$",
        description="RFC 3339 in UTC.",
        examples=["2026-11-27T08:30:00Z"],
    ),
]

EventText = Annotated[
    str, Meta(pattern="^-?[0-9]{1,18}$", description="The event's id in the source, as text.", examples=["4711"])
]
NumberText = Annotated[
    str, Meta(pattern="^[0-9]{1,18}$", description="The number of a request, as text.", examples=["17"])
]
"""In a body numbers are texts: readers of JSON make a float of one that is large."""


def moment_of(text: str | None) -> datetime | None:
    """Return the time that a text of the pattern means; a day that a month has not is one of the next."""
    if text is None:
        return None
    first = datetime.fromisoformat(f"{text[:8]}01{text[10:-1]}").replace(tzinfo=UTC)
    return first + timedelta(days=int(text[8:10]) - 1)


def told(value: T | UnsetType) -> T | None:
    """Return a parameter; None where it is left out. In a query the text null is no way to leave it out."""
    return None if isinstance(value, UnsetType) else value


def number_of(text: str | None) -> int | None:
    """Return the number in a text of one of the patterns; None where there is none."""
    return None if text is None else int(text)
