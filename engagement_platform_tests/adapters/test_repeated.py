"""What is done every so many seconds is done again, whatever happens to it."""

import logging
import threading

import pytest

from engagement_platform.adapters import repeated
from engagement_platform.adapters.repeated import Interval, Repeated
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform_tests.streaming import wait_for

log = logging.getLogger("engagement_platform.test")


def test_an_interval_is_due_when_its_seconds_have_passed() -> None:
    assert Interval(1e9, is_due=True).is_due
    assert not Interval(1e9, is_due=False).is_due
    interval = Interval(0.02, is_due=True)
    interval.restart()
    assert not interval.is_due
    wait_for(lambda: interval.is_due, "the interval")
    interval.restart()
    interval.expire()
    assert interval.is_due


class Acts:
    """Does what it is told, one after the other, and then nothing."""

    def __init__(self, *raised: Exception) -> None:
        self.raised = list(raised)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.raised:
            raise self.raised.pop(0)


class Pauses:
    """Keeps what it was told of an outage."""

    def __init__(self) -> None:
        self.errors: list[EngagementError] = []
        self.worked_times = 0

    def failed(self, error: EngagementError) -> float:
        self.errors.append(error)
        return 0.0

    def worked(self) -> None:
        self.worked_times += 1


def test_it_goes_on_whatever_the_act_raises(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(repeated, "FAULT_SECONDS", 0.01)
    act = Acts(MemoryError("no more"), ValueError("nobody thought of this"), Unavailable("It is away."))
    with Repeated("numbers", act, 0.01, log=log) as thread:
        wait_for(lambda: act.calls >= 4 and thread.works, "the acts after the failures")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [MemoryError, ValueError]
    calls = act.calls
    assert not thread._thread.is_alive()
    assert act.calls == calls


def test_an_outage_decides_when_it_is_tried_again() -> None:
    away, outage = Unavailable("It is away."), Pauses()
    act = Acts(away, away)
    with Repeated("numbers", act, 1e6, log=log, first=0.0, failures=outage):
        wait_for(lambda: outage.worked_times == 1, "the act that works")
    assert (outage.errors, act.calls) == ([away, away], 3)


def test_its_end_is_the_last_that_the_thread_does_and_no_end_of_an_outage() -> None:
    away, outage, done = Unavailable("It is away."), Pauses(), []
    thread = Repeated(
        "numbers",
        Acts(away),
        1e6,
        log=log,
        first=0.0,
        failures=outage,
        at_end=lambda: done.append(threading.get_ident()),
    )
    with thread:
        wait_for(lambda: outage.errors, "the failure")
        thread.end()
    assert len(done) == 1
    assert done != [threading.get_ident()]
    wait_for(lambda: not thread._thread.is_alive(), "the end of the thread")


def test_a_thread_that_is_stuck_is_left_behind() -> None:
    stuck = threading.Event()
    try:
        with Repeated("numbers", lambda: stuck.wait(30), 0.0, log=log, patience=0.05) as thread:
            pass
        assert thread._thread.is_alive()
    finally:
        stuck.set()
