"""For how long events have been tried in vain, as a short text: it stands beside the offset that is stored for them.

So the next run goes on counting. Written are the offsets' distances from the one that is stored, all numbers to the
base 36: `seconds.first:distance,distance;…`, `first` being the time of the first try in seconds since 1970. Which
offset that is, `Prefix` says.
"""

import re
from collections import defaultdict, deque
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


class Prefix:
    """The offsets of one partition that are not settled yet."""

    def __init__(self, begin: int) -> None:
        self._position = begin
        self._read: deque[tuple[int, int]] = deque()
        self._settled: set[int] = set()
        self.last_ms: int | None = None
        """When the last message that was read had arrived in Kafka, in milliseconds since 1970."""

    def add(self, offset: int, arrived_ms: int = 0) -> None:
        """Note a message that was read. Offsets ascend. Raises ValueError when one does not."""
        if offset < self._position:
            raise ValueError(f"offset {offset} was read after {self._position - 1}")
        self._read.append((offset, arrived_ms))
        self._position, self.last_ms = offset + 1, arrived_ms

    def settle(self, offset: int) -> None:
        """Note that a message is delivered, a dead letter, or none of ours."""
        self._settled.add(offset)
        while self._read and self._read[0][0] in self._settled:
            self._settled.remove(self._read.popleft()[0])

    def reach(self, position: int) -> None:
        """Note that everything before `position` was read: markers of transactions are offsets, too."""
        self._position = max(self._position, position)

    @property
    def committable(self) -> int:
        """The offset to go on from after a crash: all before it is settled."""
        return self._read[0][0] if self._read else self._position

    @property
    def oldest_ms(self) -> int | None:
        """When the first message that is not settled had arrived in Kafka; None when all that was read are settled."""
        return self._read[0][1] if self._read else None

    @property
    def span(self) -> int:
        """How many messages are remembered because one before them is not settled."""
        return len(self._read)
