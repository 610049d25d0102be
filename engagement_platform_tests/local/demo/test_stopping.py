import os
import signal
import time

import pytest

from engagement_platform.local.demo.demo import SIGNALS, Stopped, stoppable


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_breaks_off_a_long_step(number: int) -> None:
    with stoppable() as stop:
        with pytest.raises(Stopped):
            os.kill(os.getpid(), number)
        assert stop.requested


def test_where_steps_look_themselves_it_is_a_flag() -> None:
    with stoppable() as stop:
        stop.interrupts = False
        os.kill(os.getpid(), signal.SIGTERM)
        began = time.monotonic()
        assert stop.wait(5)
        assert time.monotonic() - began < 1


def test_a_second_signal_does_not_break_off_the_cleaning_up() -> None:
    with stoppable() as stop:
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(0)


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_waiting_without_a_signal_takes_its_time() -> None:
    with stoppable() as stop:
        began = time.monotonic()
        assert not stop.wait(0.2)
        assert time.monotonic() - began >= 0.2
