"""Makes forward's requests to the partner, in threads."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue

from engagement_platform.domain.delivery.outcome import Answer, NoAnswer
from engagement_platform.domain.delivery.parcels import Parcel


class Requests:
    """Makes requests in threads, and hands out what came of them to the one thread that asks.

    The threads are daemons: one that looks up a name, which nobody can interrupt, must not hold up the process's end.
    """

    def __init__(self, post: Callable[[list[tuple[int, bytes]]], Answer | NoAnswer], most: int) -> None:
        self._post = post
        self._work: SimpleQueue[Parcel | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[Parcel, Answer | NoAnswer | Exception]] = SimpleQueue()
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
                self._done.put((parcel, self._post([(event.id, event.value) for event in parcel.events])))
            except Exception as error:  # it is raised where somebody waits for it
                self._done.put((parcel, error))

    def outcome(self, seconds: float) -> tuple[Parcel, Answer | NoAnswer] | None:
        """Return what came of a request, waiting at most so long; None when none has ended."""
        try:
            parcel, answer = self._done.get(timeout=seconds) if seconds > 0 else self._done.get_nowait()
        except Empty:
            return None
        self.under_way -= 1
        if isinstance(answer, Exception):
            raise answer
        return parcel, answer

    def close(self) -> None:
        """Make no more requests. Does not wait."""
        for _ in self._threads:
            self._work.put(None)
