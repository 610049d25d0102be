"""What asks servers on request: a few at a time, and what only reads keeps nobody from acting."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from engagement_platform.console.serve.api.answering import routes_of
from engagement_platform.console.serve.api.operation import Asked, Operation, Parameters
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.console.serve.work import AT_ONCE, Once
from engagement_platform.domain.errors import EngagementError
from engagement_platform_tests.console.serve.conftest import HOME, TOKEN, StillSampler, unread
from engagement_platform_tests.streaming import wait_for

BEARER = {"authorization": f"Bearer {TOKEN}"}


class Slow:
    """A reading that lasts until it is let go."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def read(self, _: Asked[Parameters, None]) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.gate.wait(30)
        with self._lock:
            self.running -= 1
        return 1


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.gate.set()


def test_what_reads_waits_for_its_turn_and_holds_up_no_change(slow: Slow) -> None:
    operations = [
        Operation("GET", "/slow", "slow", "Read", int, slow.read),
        Operation("POST", "/change", "change", "Change", int, lambda _: 2, changes=True),
    ]
    site = Site({"engagement": unread().streams["engagement"].settings}, StillSampler(unread()), Guard(TOKEN))
    with ExitStack() as stack:
        client = stack.enter_context(TestClient(Starlette(routes=routes_of(operations, site, "")), base_url=HOME))
        pool = stack.enter_context(ThreadPoolExecutor(2 * AT_ONCE))
        stack.callback(slow.gate.set)
        asked = [pool.submit(client.get, "/slow") for _ in range(2 * AT_ONCE)]
        wait_for(lambda: slow.running == AT_ONCE, "as many as there may be")
        assert client.post("/change", headers=BEARER).json() == 2
        slow.gate.set()
        assert [one.result().status_code for one in asked] == [200] * len(asked)
        assert slow.most == AT_ONCE


def test_a_form_is_carried_out_once_however_often_and_whenever_it_is_sent() -> None:
    done: list[int] = []

    async def work() -> int:
        await asyncio.sleep(0)
        done.append(len(done))
        return done[-1]

    async def sent() -> None:
        once, form = Once(), {"key": ["a"], "event": ["1", "2"]}
        assert set(await asyncio.gather(once.answer(form, work), once.answer(dict(form), work))) == {0}
        assert await once.answer(form, work) == 0
        assert await once.answer({**form, "event": ["1"]}, work) == 1, "another form"
        assert await once.answer({"event": ["1"]}, work) == 2, "one without a key is never the same"
        for number in range(2 * Once._MOST):
            await once.answer({"key": [f"{number}"]}, work)
        assert len(once._tasks) <= Once._MOST

    asyncio.run(sent())


def test_a_form_that_failed_may_be_sent_again() -> None:
    tries: list[None] = []

    async def work() -> str:
        tries.append(None)
        if len(tries) == 1:
            raise EngagementError("It is away.")
        return "done"

    async def sent() -> None:
        once, form = Once(), {"key": ["a"]}
        with pytest.raises(EngagementError):
            await once.answer(form, work)
        await asyncio.sleep(0)
        assert await once.answer(form, work) == "done"

    asyncio.run(sent())
