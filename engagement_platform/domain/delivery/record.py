"""What is kept of a request to the partner: the request beside the answer, and what became of its events.

Kept is what the partner was sent and has answered, and no secret: of the headers only the request's id. A body is what
`domain.disclosure` lets leave the house. An answer is a stranger's text, cut off and without our secrets.
"""

import zlib
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from engagement_platform.domain.delivery.parcels import Settled
from engagement_platform.domain.windows import member_of

GOOD_EVERY_SECONDS = 10.0
"""How often the body of a request is kept that the partner took."""


class Became(StrEnum):
    """What became of the events of a request by its answer."""

    DELIVERED = "delivered"
    AGAIN = "again"
    """They are sent again, with the same keys: after a while, or once a person has acted."""
    HALVED = "halved"
    """They are sent again in two halves, to find the event that is meant."""
    DEAD_LETTER = "dead letter"
    REFUSED = "refused"
    """Of a test by a person, which is not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to the partner and its answer."""

    begun_at: datetime
    seconds: float
    """Until the answer was there, or it was known that none comes."""
    request_id: str
    """The header `webhook-id`."""
    ids: tuple[int, ...]
    """The events, in the order of the request."""
    contents: tuple[int, ...] = ()
    """A number for each content of these, as `content_number` gives it."""
    tries: int
    """Which try of just these events it was."""
    is_probe: bool = False
    """Whether it was made to see if the partner is back."""
    became: Became
    status: int | None
    """None where there was no answer."""
    reason: str = ""
    """Why it was not taken, or why there was no answer."""
    response: str = ""
    """The beginning of the answer's body."""
    body: str | None = None
    """The beginning of the request's body; None where it was not kept."""
    body_bytes: int = 0
    """How many bytes the whole body had."""
    number: int = 0
    """Ascending; 0 before it is kept."""
    by: str = "forward"
    """Who made it: forward, or a person with a test."""

    @property
    def is_cut(self) -> bool:
        """Whether the body that was kept is not the whole one."""
        return self.body is not None and len(self.body.encode()) < self.body_bytes


CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")
"""Of a status; none where there is no answer."""


def became(settled: Settled, *, halved: bool) -> Became:
    """Say what became of a request's events, of which `settled` tells what is settled."""
    if settled.delivered:
        return Became.DELIVERED
    if settled.failed:
        return Became.DEAD_LETTER
    return Became.HALVED if halved else Became.AGAIN


def content_number(content: Hashable) -> int:
    """Return a number of 32 bits for a content, by which its requests are found; another content rarely has the same.

    A content is the key of its events, as a value or as its text.
    """
    text = content if isinstance(content, str) else member_of(content)
    number = zlib.crc32(text.encode())
    return number - (1 << 32) if number >= 1 << 31 else number


def content_numbers(lanes: Iterable[Hashable]) -> tuple[int, ...]:
    """Return the numbers of the contents of some lanes, ascending. What has no content has a lane of its own."""
    return tuple(sorted({content_number(_text(lane)) for lane in lanes if not isinstance(lane, tuple)}))


def _text(lane: Hashable) -> Hashable:
    """Return the text of a lane that is JSON: of a string what it says, of anything else the JSON."""
    if not isinstance(lane, bytes):
        return lane
    with suppress(msgspec.MsgspecError, ValueError):
        return msgspec.json.decode(lane, type=str)
    return lane.decode("utf-8", "replace").strip('"')


class Bodies:
    """Chooses which bodies are kept, and how much of them: of each request that failed, of a good one now and then."""

    def __init__(self, most: int) -> None:
        """`most` is in bytes; with 0 none is kept."""
        self._most = most
        self._next_good = float("-inf")

    def kept(self, body: bytes, came_of_it: Became, now: float) -> str | None:
        """Return what is kept of a body; None where nothing is. `now` is in seconds, by a clock that goes on."""
        if self._most == 0:
            return None
        if came_of_it is Became.DELIVERED:
            if now < self._next_good:
                return None
            self._next_good = now + GOOD_EVERY_SECONDS
        return readable(body[: self._most].decode("utf-8", "ignore"))


def readable(text: str) -> str:
    """Return a text as a database can keep it."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
