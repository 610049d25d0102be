"""Whose a connection is."""

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from engagement_platform_tests.ports import owners

_OTHER = """
import socket, sys
other = socket.socket()
other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
other.bind(("127.0.0.1", int(sys.argv[1])))
other.connect(("127.0.0.1", int(sys.argv[2])))
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="psutil asks for all connections, which takes rights elsewhere")
def test_of_two_connections_from_one_port_each_has_its_own_owner() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as one,
        closing(socket.create_server(("127.0.0.1", 0))) as two,
        closing(socket.socket()) as ours,
    ):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        ours.connect(one.getsockname())
        command = [sys.executable, "-c", _OTHER, str(port), str(two.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "connected\n"
            assert [found.pid for found in owners(port, one.getsockname()[1])] == [os.getpid()]
            assert [found.pid for found in owners(port, two.getsockname()[1])] == [other.pid]
            other.communicate("")
