"""What people do with the contents: sessions of play, pause, finish and click. Pure, the same for the same seed.

Time is virtual, it goes on by 1/rate with each event, so that durations do not depend on how fast the machine is.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import Any
from uuid import UUID

import msgspec

MAX_LATE_SECONDS = 120.0
MAX_AHEAD_SECONDS = 0.25
MEAN_PAUSE_SECONDS = 20
USERS = 5_000
POPULARITY_EXPONENT = 1.05

DEVICES = ("ios", "android", "web", "smart-tv", "car", "watch 🕶️")
_DEVICE_WEIGHTS = (34, 30, 22, 8, 4, 2)
_ODD_PAYLOADS: tuple[Any, ...] = ("beta", 42, True, [1, 2, 3], "رسالة", 0.5, {}, "🎧")


class Item(msgspec.Struct, frozen=True):
    """What a session needs to know of a content."""

    id: str
    content_type: str | None
    length_seconds: int | None


class Event(msgspec.Struct, gc=False):
    """One row to be written. `event_ts` is the server's clock less `age_ms`; a NULL is None."""

    content_id: str | None
    user_id: str | None
    event_type: str
    age_ms: int
    duration_ms: int | None
    device: str | None
    raw_payload: Any


class _Session(msgspec.Struct):
    item: Item
    user: str | None
    device: str | None
    late: float
    playing_since: float | None = None
    events: int = 0


class Sessions:
    """An endless stream of events of many sessions side by side, `rate` a second."""

    def __init__(self, random: Random, items: Sequence[Item], rate: float) -> None:
        self._random = random
        self._items = Popularity(random, items)
        self._users = [str(UUID(int=random.getrandbits(128), version=4)) for _ in range(USERS)]
        self._step = 1 / rate
        self._now = 0.0
        self._sessions: list[_Session | None] = [None] * min(max(int(rate * MEAN_PAUSE_SECONDS), 10), 20_000)

    def __iter__(self) -> Iterator[Event]:
        while True:
            yield self.next()

    def next(self) -> Event:
        """Return the next event, of any of the running sessions or of a new one."""
        random = self._random
        self._now += self._step
        slot = int(random.random() * len(self._sessions))
        session = self._sessions[slot]
        if session is None:
            session = self._sessions[slot] = self._begin()
        event_type, duration, ended = self._advance(session)
        if ended:
            self._sessions[slot] = None
        return self._event(session, event_type, duration)

    def _begin(self) -> _Session:
        random = self._random
        return _Session(
            item=self._items.draw(),
            user=None if random.random() < 0.02 else self._users[int(random.random() * USERS)],
            device=None if random.random() < 0.03 else random.choices(DEVICES, _DEVICE_WEIGHTS)[0],
            late=lateness(random),
        )

    def _advance(self, session: _Session) -> tuple[str, int | None, bool]:
        """Return the next event's type and duration, and whether the session ends with it."""
        chance = self._random.random()
        session.events += 1
        if session.item.content_type == "newsletter":
            return "click", None if chance < 0.3 else int(chance * 90_000), chance > 0.6
        if session.playing_since is None:
            session.playing_since = self._now
            return "play", 0 if chance < 0.1 else None, False
        listened = int((self._now - session.playing_since) * 1_000)
        session.playing_since = None
        if chance < 0.45:
            return "finish", listened, True
        return "pause", None if chance < 0.47 else listened, chance > 0.8

    def _event(self, session: _Session, event_type: str, duration: int | None) -> Event:
        random = self._random
        age = session.late + random.uniform(-MAX_AHEAD_SECONDS, 0.5)
        return Event(
            content_id=None if random.random() < 0.004 else session.item.id,
            user_id=session.user,
            event_type=event_type,
            age_ms=int(min(max(age, -MAX_AHEAD_SECONDS), MAX_LATE_SECONDS) * 1_000),
            duration_ms=duration,
            device=session.device,
            raw_payload=self._payload(session),
        )

    def _payload(self, session: _Session) -> Any:
        chance = self._random.random()
        if chance < 0.05:
            return None
        if chance < 0.07:
            return self._random.choice(_ODD_PAYLOADS)
        return {"app": "7.12.0", "seq": session.events, "offline": session.late > 5}


class Popularity:
    """Draws items by Zipf's law: a few contents are played by most people."""

    def __init__(self, random: Random, items: Sequence[Item]) -> None:
        self._random = random
        self._items = random.sample(items, len(items))
        self._weights = list(accumulate(1 / rank**POPULARITY_EXPONENT for rank in range(1, len(items) + 1)))
        self._drawn: list[Item] = []

    def draw(self) -> Item:
        """Return one item. They are drawn a thousand at a time, which is cheaper."""
        if not self._drawn:
            self._drawn = self._random.choices(self._items, cum_weights=self._weights, k=1_000)
        return self._drawn.pop()


def lateness(random: Random) -> float:
    """Return by how many seconds a session's events arrive late: most at once, some from a tunnel or an aeroplane."""
    chance = random.random()
    if chance < 0.75:
        return min(random.expovariate(1 / 0.4), MAX_LATE_SECONDS)
    return random.uniform(1, 30) if chance < 0.95 else random.uniform(30, MAX_LATE_SECONDS)
