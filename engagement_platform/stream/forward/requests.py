"""Makes forward's requests to the partner, in threads."""

import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Request
from engagement_platform.domain.delivery.parcels import Parcel


class Sender(Protocol):
    """What makes one request."""

    def request_of(self, events: Sequence[tuple[int, bytes]]) -> Request:
        """Return the request that delivers events, each an id and a message's value."""

    def send(self, request: Request) -> Answer | NoAnswer:
        """Make a request. Returns what came of it; never raises it."""


@dataclass(frozen=True, slots=True)
class Made:
    """A request that was made, and what came of it."""

    parcel: Parcel
    request: Request
    answer: Answer | NoAnswer
    begun_at: float
    """In seconds since 1970."""
    seconds: float
    """How long it took."""


class Requests:
    """Makes requests in threads, and hands out what came of them to the one thread that asks.

    The threads are daemons: one that looks up a name, which nobody can interrupt, must not hold up the process's end.
    """

    def __init__(self, partner: Sender, most: int) -> None:
        self._partner = partner
        self._work: SimpleQueue[Parcel | None] = SimpleQueue()
        self._done: SimpleQueue[Made | Exception] = SimpleQueue()
        self._threads = [
            threading.Thread(target=copy_context().run, args=(self._make_all,), name=f"partner-{number}", daemon=True)
            for number in range(most)
        ]
        for thread in self._threads:
            thread.start()
        self.under_way = 0

    def make(self, parcel: Parcel) -> None:
        """Begin the request of a parcel."""
        self.under_way += 1
        self._work.put(parcel)

    def _make_all(self) -> None:
        while (parcel := self._work.get()) is not None:
            try:
                self._done.put(self._made(parcel))
            except Exception as error:  # it is raised where somebody waits for it
                self._done.put(error)

    def _made(self, parcel: Parcel) -> Made:
        request = self._partner.request_of([(event.id, event.value) for event in parcel.events])
        begun_at, began = time.time(), time.monotonic()
        answer = self._partner.send(request)
        return Made(parcel, request, answer, begun_at, time.monotonic() - began)

    def outcome(self, seconds: float) -> Made | None:
        """Return what came of a request, waiting at most so long; None when none has ended."""
        try:
            made = self._done.get(timeout=seconds) if seconds > 0 else self._done.get_nowait()
        except Empty:
            return None
        self.under_way -= 1
        if isinstance(made, Exception):
            raise made
        return made

    def close(self) -> None:
        """Make no more requests. Does not wait."""
        for _ in self._threads:
            self._work.put(None)
