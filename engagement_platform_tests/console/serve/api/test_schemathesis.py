"""The API is asked what its OpenAPI document allows, and what it does not, over HTTP and the real servers.

What schemathesis holds: an answer has a status, a type and a schema that the document names; what the document does not
allow is refused; what it allows is not; nothing is a server error; another method is refused with those that there are.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
import uvicorn

from engagement_platform.adapters.kafka.topics import ensure_replay_topic, ensure_topics
from engagement_platform.console.serve.api.table import OPERATIONS
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.backfills import Backfills
from engagement_platform.console.serve.security import WrongTokens
from engagement_platform.console.serve.server import listen
from engagement_platform.console.serve.site import Site
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.redis.tallied import NOW_MS, event, make
from engagement_platform_tests.console.serve.conftest import TOKEN
from engagement_platform_tests.streaming import wait_for

CONFIGURATION = f"""
[auth.openapi.token]
bearer = "{TOKEN}"

[[operations]]
include-path = "/healthz/stream"
checks.not_a_server_error.enabled = false
"""
"""/healthz/stream answers 503 as long as nobody streams, as here: that is what it is for."""


def fill(settings: Settings) -> None:
    """Count something, so that there are views, and topics."""
    ensure_topics(settings)
    ensure_replay_topic(settings)
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True, protocol=2) as server:
        now_ms = int(1_000 * datetime.now(UTC).timestamp())
        make(server, settings.redis.namespace).send(*(event(now_ms - NOW_MS, content=name) for name in "aab"))


@pytest.fixture
def address(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the page. Only Dagster is a stand-in, and an address may send any number of wrong tokens."""
    monkeypatch.setattr(WrongTokens, "MOST", 1_000_000)
    site.backfills = Backfills(lambda *_: "bmyxgkqp")
    (settings,) = site.streams.values()
    assert isinstance(settings, Settings)
    fill(settings)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(site), log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, "the server")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def test_the_api_keeps_its_document(address: str, tmp_path: Path) -> None:
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(configuration), "run"]
    command += [f"{address}/api/v1/openapi.json"]
    command += ["--phases", "coverage,fuzzing", "--max-examples", "3", "--generation-deterministic"]
    done = subprocess.run(
        [*command, "--no-color"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    operations = re.search(r"(\d+) selected / (\d+) total", done.stdout)
    assert operations, done.stdout
    assert operations[1] == operations[2] == str(len(OPERATIONS))
