"""The command `serve` as a process: it names its address, answers while everything else is away, and ends at once."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from engagement_platform.console.serve.server import listen
from engagement_platform.domain.errors import EngagementError

NOWHERE = {
    "ENGAGEMENT_SOURCE_DSN": "postgresql://me:hunter2@127.0.0.1:1/media",
    "ENGAGEMENT_PLATFORM_DSN": "postgresql://me:hunter2@127.0.0.1:1/platform",
    "ENGAGEMENT_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
    "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ENGAGEMENT_", "DAGSTER_"))
    }
    command = [sys.executable, "-m", "engagement_platform", "serve", "--port", "0"]
    serving = subprocess.Popen(
        command, env=environment | NOWHERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert serving.stdout is not None
    said = serving.stdout.readline()
    assert said.startswith("The page: http://127.0.0.1:"), said
    yield serving, said.removeprefix("The page: ").strip()
    serving.kill()
    serving.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_while_everything_is_away_and_ends_at_once(
    process: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    serving, url = process
    with urllib.request.urlopen(url, timeout=20) as answer:
        page = answer.read().decode()
    assert "The platform database does not answer since" in page
    assert "hunter2" not in page
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as browser:
        browser.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"text/event-stream" in browser.recv(2_000)
        began = time.monotonic()
        serving.send_signal(number)
        assert serving.wait(20) in (0, -number)
    assert time.monotonic() - began < 10, "a browser that is connected does not hold it up"
    assert serving.stdout is not None
    assert serving.stdout.read() == "", "no secret, and no traceback"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(EngagementError, match="cannot listen") as raised:
            listen("127.0.0.1", other.getsockname()[1])
        assert "--port" in raised.value.todo


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_is_not_of_this_machine_is_said(host: str) -> None:
    with pytest.raises(EngagementError, match="cannot listen"):
        listen(host, 0)
