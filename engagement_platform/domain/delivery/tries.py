"""For how long events have been tried in vain, as a short text: it stands beside the offset that is stored for them.

So the next run goes on counting. Written are the offsets' distances from the one that is stored, all numbers to the
base 36: `seconds.first:distance,distance;…`, `first` being the time of the first try in seconds since 1970.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

_GROUP = re.compile(r"([0-9a-z]{1,8})\.([0-9a-z]{1,8}):([0-9a-z]{1,8}(?:,[0-9a-z]{1,8})*)")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Tried:
    """How an event has fared before."""

    seconds: int
    """For which it was tried; time in which the partner was down does not count."""
    first: int
    """The time of the first try, in seconds since 1970."""


def to_text(tried: Mapping[int, Tried], base: int, most: int) -> str:
    """Return offset -> tries as a text of at most `most` characters; those tried longest come first and are kept.

    Offsets below `base` are left out: they are settled.
    """
    groups: dict[Tried, list[int]] = defaultdict(list)
    for offset in sorted(tried):
        if offset >= base:
            groups[tried[offset]].append(offset - base)
    text = ""
    for group in sorted(groups, key=lambda one: (-one.seconds, one.first)):
        begin = f"{';' if text else ''}{_base36(group.seconds)}.{_base36(group.first)}:"
        for number, distance in enumerate(groups[group]):
            more = (begin if number == 0 else ",") + _base36(distance)
            if len(text) + len(more) > most:
                return text
            text += more
    return text


def from_text(text: str, base: int) -> dict[int, Tried]:
    """Return offset -> tries; nothing of what cannot be read, as another program may have stored it."""
    tried: dict[int, Tried] = {}
    for part in text.split(";"):
        if match := _GROUP.fullmatch(part):
            group = Tried(int(match[1], 36), int(match[2], 36))
            tried |= {base + int(distance, 36): group for distance in match[3].split(",")}
    return tried


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
