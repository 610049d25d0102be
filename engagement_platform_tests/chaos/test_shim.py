"""The library that moves a clock and lets names fail, on a process of its own."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from engagement_platform_tests.chaos.shim import Shim, is_possible

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs Linux and gcc")
_TELL = """
import socket, sys, time
for _ in sys.stdin:
    try:
        socket.getaddrinfo("localhost", 1)
        named = True
    except OSError:
        named = False
    print(time.time(), named, flush=True)
"""


_WAIT = """
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static double now(clockid_t clock) {
  struct timespec at;
  clock_gettime(clock, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

int main(void) {
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  double until = now(CLOCK_REALTIME) + 0.5, began = now(CLOCK_MONOTONIC);
  struct timespec at = {(time_t)until, (long)((until - (time_t)until) * 1e9)};
  pthread_mutex_lock(&mutex);
  pthread_cond_timedwait(&condition, &mutex, &at);
  printf("%f", now(CLOCK_MONOTONIC) - began);
  return 0;
}
"""


@pytest.mark.parametrize("seconds", [0, 5, -5])
def test_whoever_waits_until_a_time_of_day_waits_by_the_clock_that_it_is_told(tmp_path: Path, seconds: int) -> None:
    (tmp_path / "wait.c").write_text(_WAIT)
    subprocess.run(["gcc", "-pthread", "-o", tmp_path / "wait", tmp_path / "wait.c"], check=True)
    shim = Shim(tmp_path, "one")
    shim.tell(seconds=seconds)
    done = subprocess.run([tmp_path / "wait"], env=shim.variables, capture_output=True, text=True, check=True)
    assert 0.4 < float(done.stdout) < 4.0


def test_a_process_has_the_time_that_it_is_told_and_no_names_while_it_is_told_so(tmp_path: Path) -> None:
    shim = Shim(tmp_path, "one")
    with subprocess.Popen(
        [sys.executable, "-c", _TELL], env=shim.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def told() -> list[object]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            at, named = process.stdout.readline().split()
            return [round((float(at) - time.time()) / 10), named]

        assert told() == [0, "True"]
        for seconds in (3_600, -90):
            shim.tell(seconds=seconds)
            assert told() == [seconds / 10, "True"]
        shim.tell(nameless=True)
        assert told() == [0, "False"]
        process.stdin.close()
