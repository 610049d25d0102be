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
