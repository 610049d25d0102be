"""The compose project of one version of the repository, on an engine: what people type, and what they look at."""

import json
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

from engagement_platform.local.state import choose_port
from engagement_platform_tests.docker.engine.daemon import Engine
from engagement_platform_tests.docker.files import REPOSITORY

IMAGE = "engagement-platform:local"
_PATIENCE_SECONDS = 300
_PSQL = ("psql", "--username", "postgres", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--command")
_VALKEY = 'REDISCLI_AUTH=$(cat /run/passwords/valkey) exec valkey-cli "$@"'
_IN_WINDOW = """
local scores, total = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'), 0
for i = 2, #scores, 2 do total = total + scores[i] end
return {redis.call('HGET', KEYS[2], 'window_start'), redis.call('HGET', KEYS[2], 'bucket_ms'), total}
"""
_DELIVERED = (
    "import sys, urllib.request as r;"
    "sys.exit(sys.argv[1].encode() not in r.urlopen('http://127.0.0.1:8082/deliveries?after=0').read())"
)

_PAINT = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def exported(revision: str | None, folder: Path) -> Path:
    """Put the files of a commit into a folder, or those of the working tree that git knows or would take."""
    folder.mkdir()
    git = ["git", "-C", str(REPOSITORY)]
    if revision:
        packed = subprocess.run([*git, "archive", revision], capture_output=True, check=True).stdout
    else:
        listed = subprocess.run(
            [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
        ).stdout.split(b"\0")
        there = b"\0".join(name for name in listed if name and (REPOSITORY / name.decode()).exists())
        command = ["tar", "-C", str(REPOSITORY), "--null", "--files-from=-", "-cf", "-"]
        packed = subprocess.run(command, input=there, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder


@dataclass(frozen=True, slots=True)
class Own:
    """An event that nobody else wrote: of a device of its own, and of a content that was new when it was written."""

    event_id: int
    content_id: str
    device: str
    at: float
    """By this process's clock, when it was committed."""


@dataclass(frozen=True, slots=True)
class Project:
    """The compose project in a folder of the repository's files. `ports` are those of the page and of Dagster's UI."""

    engine: Engine
    tree: Path
    ports: tuple[int, int]
    profile: str = "demo"
    more: tuple[str, ...] = ()
    """Compose files that are given after the first."""

    @property
    def code(self) -> str:
        """The service of the code location."""
        return "code-demo" if self.profile == "demo" else "code"

    def compose(self, *arguments: str) -> str:
        """Run docker compose as the documentation has it."""
        page, ui = self.ports
        files = [word for file in ("docker/compose.yaml", *self.more) for word in ("-f", file)]
        variables = {"PAGE_PORT": str(page), "UI_PORT": str(ui), "COMPOSE_PROFILES": self.profile}
        free = {name: str(choose_port(None, None)) for name in ("POSTGRES_PORT", "VALKEY_PORT") if self.more}
        return self.engine.docker("compose", *files, *arguments, folder=self.tree, **variables, **free)

    def refused(self, *arguments: str) -> str:
        """Run docker compose, which has to fail, and return what it says."""
        try:
            self.compose(*arguments)
        except AssertionError as error:
            return str(error)
        raise AssertionError(f"compose did this: {arguments}")

    def run(self, service: str, *command: str) -> str:
        """Run a command in a service's container."""
        return self.compose("exec", "-T", service, *command)

    def platform(self, *command: str) -> str:
        """Run a command of the platform."""
        return self.run(self.code, "entry.sh", "engagement-platform", *command)

    def sql(self, statement: str, database: str = "media") -> str:
        """Run a statement in a database of the bundled server."""
        return self.run("postgres", *_PSQL, statement, database).strip()

    def redis(self, *command: str) -> str:
        """Ask the bundled Valkey."""
        return self.run("valkey", "sh", "-c", _VALKEY, "valkey-cli", *command).strip()

    def page(self, path: str) -> Any:
        """Return what the page's service answers, by its published port."""
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=20) as answer:
                text = answer.read().decode()
        except HTTPError as error:
            text = error.read().decode()
        return json.loads(text) if path.startswith("/api/") else text

    def log(self, service: str) -> list[str]:
        """Return the lines that a service has printed since it was made."""
        return _PAINT.sub("", self.compose("logs", "--no-log-prefix", service)).splitlines()

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of the containers, by service."""
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in self.engine.containers()}

    def write_own(self) -> Own:
        """Write an event to the source that is known by its device. The generator may take its content up later."""
        device = f"own-{uuid4()}"
        content = self.sql(
            "INSERT INTO content (id, slug, title, content_type, publish_ts) VALUES"
            " (gen_random_uuid(), 'own-' || gen_random_uuid(), 'Own', 'video', now()) RETURNING id"
        )
        event = self.sql(
            "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device)"
            f" VALUES ('{content}', 'play', now(), 1000, '{device}') RETURNING id"
        )
        return Own(int(event), content, device, time.time())

    def is_counted(self, own: Own) -> bool:
        """Say whether an event is in Redis, once."""
        score = self.redis("ZSCORE", "{engagement}:view:device:count", own.device)
        assert score in ("", "1"), f"event {own.event_id} is counted {score} times"
        return score == "1"

    def is_delivered(self, own: Own) -> bool:
        """Say whether an event is with the receiver."""
        with suppress(AssertionError):
            self.run("receiver", "python", "-c", _DELIVERED, own.content_id)
            return True
        return False

    def staged(self) -> tuple[int, int]:
        """Return how many events the warehouse has, and how many different ones."""
        told = self.platform("sql", "--format", "csv", "SELECT count(*), count(DISTINCT id) FROM engagement_events")
        rows, ids = told.strip().splitlines()[-1].split(",")
        return int(rows), int(ids)

    def in_source(self, condition: str = "true") -> int:
        """Return how many events the source has."""
        return int(self.sql(f"SELECT count(*) FROM engagement_events WHERE {condition}"))

    def window(self) -> tuple[int, int]:
        """Return how many events Redis counts in its window, and how many of the source lie in it."""
        keys = ("{engagement}:view:device:count", "{engagement}:meta")
        start, bucket, counted = (int(text) for text in self.redis("EVAL", _IN_WINDOW, "2", *keys).splitlines())
        first = f"floor(extract(epoch FROM event_ts) * 1000 / {bucket}) * {bucket} >= {start}"
        return counted, self.in_source(first)

    def megabytes(self) -> dict[str, int]:
        """Return the memory of each service's container."""
        lines = self.engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines()
        used = {line.split()[0]: line.split()[1] for line in lines}
        found = {
            name: used[one["Name"].strip("/")] for name, one in self.containers().items() if one["State"]["Running"]
        }
        return {name: round(float(text[:-3]) * {"MiB": 1, "GiB": 1024}[text[-3:]]) for name, text in found.items()}

    def unhealthy(self, *among: str) -> list[str]:
        """Return the services whose containers do not run, or are not healthy."""
        return [name for name, one in self.containers().items() if (not among or name in among) and not _is_well(one)]


def _is_well(container: dict[str, Any]) -> bool:
    state = container["State"]
    if container["HostConfig"]["RestartPolicy"]["Name"] == "no":
        return bool(state["ExitCode"] == 0)
    return bool(state["Running"]) and state.get("Health", {}).get("Status", "healthy") == "healthy"


def wait_for(condition: Callable[[], bool], what: str, seconds: float = _PATIENCE_SECONDS) -> float:
    """Wait for a condition, which may fail while servers are away; return the seconds that it took."""
    began, last = time.monotonic(), ""
    while True:
        try:
            if condition():
                return round(time.monotonic() - began, 1)
        except (AssertionError, OSError, ValueError) as error:
            if "is counted" in str(error):
                raise
            last = str(error)
        assert time.monotonic() < began + seconds, f"waited in vain for {what}. {last[-2000:]}"
        time.sleep(0.3)


def main_process(container: dict[str, Any]) -> int:
    """Return the number, on this machine, of the process that a container is for: the child of Docker's init."""
    init = container["State"]["Pid"]
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    return int(children[0]) if children else int(init)


def lines_twice(log: Sequence[str]) -> list[str]:
    """Return the messages of JSON lines that come as text, too: what a second handler prints."""
    told = {json.loads(line).get("message", "") for line in log if line.startswith("{")}
    plain = [line for line in log if not line.startswith("{")]
    return sorted(message for message in told if len(message) > 20 and any(message in line for line in plain))
