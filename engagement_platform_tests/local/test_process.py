import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.process import Daemon
from engagement_platform_tests import daemons
from engagement_platform_tests.streaming import wait_for

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-uc",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)",
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    handle = Daemon("sleeper", tmp_path / "run" / "sleeper.json", tmp_path / "logs" / "sleeper.log")
    yield handle
    handle.stop(signal.SIGKILL)


def test_the_server_on_a_port_is_the_process_that_listens(daemon: Daemon, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    listener = (
        "import pathlib, socket, time; s = socket.create_server(('127.0.0.1', 0)); "
        f"f = pathlib.Path({str(port_file)!r}); f.with_suffix('.new').write_text(str(s.getsockname()[1])); "
        "f.with_suffix('.new').rename(f); time.sleep(60)"
    )
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        daemon.spawn([sys.executable, "-c", listener])
        daemon.wait_until(port_file.exists, 20)
        port = int(port_file.read_text())
        assert daemon.listens_on(port)
        assert not daemon.listens_on(foreign.getsockname()[1])
    daemon.stop(signal.SIGKILL)
    assert not daemon.listens_on(port)


def change(daemon: Daemon, **values: object) -> None:
    daemon.pid_file.write_text(json.dumps(json.loads(daemon.pid_file.read_text()) | values))


def test_a_process_that_was_never_started_does_not_run(daemon: Daemon) -> None:
    assert not daemon.is_running
    daemon.stop()


def test_a_started_process_leads_a_session_of_its_own(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)

    process = daemon.process()

    assert process is not None
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_another_process_with_the_number_is_not_ours(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)
    own = daemon.process()
    assert own is not None

    change(daemon, pid=os.getpid())
    assert not daemon.is_running
    daemon.stop()  # must not end the stranger: this very test

    own.kill()


def test_without_a_birth_the_time_of_the_start_tells_a_stranger(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)
    own = daemon.process()
    assert own is not None

    change(daemon, birth=None)
    assert daemon.is_running
    change(daemon, birth=None, began=time.time() - 3600)
    assert not daemon.is_running

    own.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no start time in ticks")
def test_setting_the_clock_does_not_make_a_stranger_of_our_process(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)

    change(daemon, began=json.loads(daemon.pid_file.read_text())["began"] - 3600)

    assert daemon.is_running


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"pid": 1}', '{"pid": "x", "began": 0}'])
def test_a_file_that_cannot_be_understood_is_of_no_process(daemon: Daemon, text: str) -> None:
    daemon.pid_file.parent.mkdir(parents=True)
    daemon.pid_file.write_text(text)

    assert not daemon.is_running


def test_a_killed_process_is_gone_when_kill_returns(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)

    daemons.kill(daemon)

    assert not daemon.is_running
    assert daemon.pid_file.exists()  # as a crash leaves it


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process outlive its first thread")
def test_a_process_whose_first_thread_has_ended_still_runs_and_is_killed_whole(daemon: Daemon) -> None:
    """A killed server looks so for a moment: whoever took it for gone would find its port in use."""
    program = (
        "import ctypes, os, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        "print('ended', flush=True); ctypes.PyDLL(None).pthread_exit(None)"
    )
    daemon.spawn([sys.executable, "-c", program])
    pid = json.loads(daemon.pid_file.read_text())["pid"]
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "the end of the first thread")
    assert daemon.is_running
    daemons.kill(daemon)
    assert not daemon.is_running
    assert not Path(f"/proc/{pid}").exists()


def test_a_paused_process_goes_on_where_it_was(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)
    process = daemon.process()
    assert process is not None

    daemons.pause(daemon)
    deadline = time.monotonic() + 5
    while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.status() == psutil.STATUS_STOPPED
    assert daemon.is_running

    daemons.resume(daemon)
    while process.status() == psutil.STATUS_STOPPED and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.status() != psutil.STATUS_STOPPED


def test_a_paused_process_stops_without_the_wait_for_a_deaf_one(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)
    daemons.pause(daemon)
    began = time.monotonic()

    daemon.stop(seconds=20)

    assert time.monotonic() - began < 10
    assert not daemon.pid_file.exists()


def test_a_deaf_process_is_killed(daemon: Daemon) -> None:
    daemon.spawn(STUBBORN)
    daemon.wait_until(lambda: "deaf" in daemon.log_tail(), 10)

    daemon.stop(seconds=0.2)

    assert not daemon.is_running


def test_a_process_that_dies_while_starting_shows_its_last_words(daemon: Daemon) -> None:
    daemon.spawn([sys.executable, "-c", "raise SystemExit('no room')"])

    with pytest.raises(EngagementError, match="no room") as error:
        daemon.wait_until(lambda: False, 10)

    assert str(daemon.log_file) in error.value.todo


def test_a_process_that_never_answers_is_not_waited_for_without_end(daemon: Daemon) -> None:
    daemon.spawn(SLEEP)

    with pytest.raises(EngagementError, match="did not answer"):
        daemon.wait_until(lambda: False, 0.1)


def test_a_paused_process_stands_still_at_once(daemon: Daemon, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    busy = (
        "import os, threading\n"
        f"out = os.open({str(counter)!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n"
        "def work():\n    while True: os.write(out, b'.')\n"
        "for _ in range(8): threading.Thread(target=work).start()\n"
    )
    daemon.spawn([sys.executable, "-c", busy])
    daemon.wait_until(lambda: counter.exists() and counter.stat().st_size > 100, 20)
    for _ in range(20):
        daemons.pause(daemon)
        written = counter.stat().st_size
        os.sched_yield()
        assert counter.stat().st_size == written
        daemons.resume(daemon)
