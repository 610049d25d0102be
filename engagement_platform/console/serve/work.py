"""What handlers do that asks servers: in threads, a few at a time, about one stream; and changes with their record."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import anyio

from engagement_platform.adapters.platform.audit import Audit, Change, Outcome
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.settings import Settings, about

T = TypeVar("T")

AT_ONCE = 4
"""Such requests at a time: others wait, and pages that show a sample do not."""

_limiters: dict[bool, anyio.CapacityLimiter] = {}
"""Of what only reads, and of changes: whoever may only read keeps nobody from acting."""


async def in_thread(settings: Settings, work: Callable[[], T], *, changes: bool = False) -> T:
    """Return what comes of some work in a thread. What it raises names commands and variables of the stream."""

    def about_its_stream() -> T:
        with about(settings.stream):
            return work()

    return await few_at_once(about_its_stream, changes=changes)


async def few_at_once(work: Callable[[], T], *, changes: bool = False) -> T:
    """Return what comes of some work in a thread, which says itself which stream it is about."""
    if changes not in _limiters:
        _limiters[changes] = anyio.CapacityLimiter(AT_ONCE)
    return await anyio.to_thread.run_sync(work, limiter=_limiters[changes])


class Once:
    """Carries out what a form asks for once, however often it is sent: a second click gets the answer of the first.

    A form is known by all its fields, of which `key` is one that no other form has. One that failed may be sent again.
    For one event loop; what it has carried out is known until the process ends, or some others were sent.
    """

    _MOST = 50

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[Any]] = {}

    async def answer(self, form: Mapping[str, Sequence[str]], work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what comes of the work, or came of it before. Raises as it does."""
        if not form.get("key"):
            return await work()
        fields = tuple(sorted((name, tuple(values)) for name, values in form.items()))
        task = self._tasks.get(fields)
        if task is None:
            task = asyncio.create_task(work())
            task.add_done_callback(partial(self._forget_failed, fields))
            self._tasks[fields] = task
            done = [key for key, one in self._tasks.items() if one.done()]
            for key in done[: max(0, len(self._tasks) - self._MOST)]:
                del self._tasks[key]
        return cast("T", await asyncio.shield(task))

    def _forget_failed(self, fields: object, task: "asyncio.Task[Any]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._tasks.pop(fields, None)


@contextmanager
def recorded(settings: Settings, who: str, action: str, subject: str, **detail: object) -> Iterator[Outcome]:
    """Note who changes what, before the block does and behind it. Raises Unavailable where that cannot be noted."""
    ensure_schema(settings)
    with Audit.opened(settings, "page") as audit, audit.recorded(who, action, subject, **detail) as outcome:
        yield outcome


def changes(settings: Settings, *actions: str, most: int = 10) -> list[Change]:
    """Return the last changes of some kinds, the newest first. Raises Unavailable."""
    ensure_schema(settings)
    with Audit.opened(settings, "page") as audit:
        found = [change for action in actions for change in audit.latest(most, action)]
    return sorted(found, key=lambda change: change.number, reverse=True)[:most]
