"""What happens to a project from its first start to its end, on a real engine, with what has to hold at each step."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engagement_platform.local.state import choose_port
from engagement_platform_tests.docker.engine import images
from engagement_platform_tests.docker.engine.daemon import Engine
from engagement_platform_tests.docker.engine.project import (
    IMAGE,
    Own,
    Project,
    exported,
    lines_twice,
    main_process,
    wait_for,
)
from engagement_platform_tests.docker.files import REPOSITORY

_BEFORE, _NOW = "engagement-test/before", "engagement-test/now"
_MIGRATIONS = "engagement_platform/adapters/platform/migrations"
_APART = ("page-demo", "webserver", "generator")
"""What the stream does without: killed together."""
_KILLED = ("receiver", "daemon", "valkey", "kafka", "postgres", "code-demo")
_APPLIED = "SELECT version_num FROM engagement_platform.schema_version"


@dataclass
class Story:
    """One telling of it. `report` says what was measured."""

    engine: Engine
    folder: Path
    report: dict[str, Any]

    def tell(self) -> None:
        """Do all of it. Raises AssertionError where something is not as it has to be."""
        with self._step("images of the three servers"):
            images.make(self.engine)
        ports = (choose_port(None, None), choose_port(None, None))
        now = Project(self.engine, exported(None, self.folder / "now"), ports)
        before = replace(now, tree=_mended(exported(revision_before(), self.folder / "before")))
        with self._step("image of the version before"):
            self._build(before.tree, _BEFORE)
        with self._step("image"):
            self._build(now.tree, _NOW)
        self.report["image_megabytes"] = self._megabytes(_NOW)
        self._says_what_is_missing(replace(now, profile="core"))
        self._upgrades(before, now)
        self._streams(now)
        self._heals(now)
        self._starts_again(now)
        self._agrees(now)
        self._streams_by_core(now)
        self._leaves_nothing(now)

    def _build(self, tree: Path, tag: str) -> None:
        self.engine.docker("build", "--network=host", "--file", "docker/Dockerfile", "--tag", tag, ".", folder=tree)

    def _megabytes(self, tag: str) -> int:
        du = ("run", "--rm", "--network=none", "--user=0", "--entrypoint=du", tag, "-sm", "/opt")
        return int(self.engine.docker(*du).split()[0])

    def _says_what_is_missing(self, core: Project) -> None:
        """Profile core without a source does not start, and says why."""
        self.engine.docker("tag", _NOW, IMAGE)
        with self._step("core without a source is refused"):
            refusal = core.refused("up", "--detach", "--no-build")
            assert "settings" in refusal, refusal
            said = " ".join(core.log("settings"))
            assert "ENGAGEMENT_SOURCE_DSN: it is not set" in said, said
            assert "belong in the file .env beside the README" in said, said
            core.compose("down", "--volumes")

    def _upgrades(self, before: Project, now: Project) -> None:
        self.engine.docker("tag", _BEFORE, IMAGE)
        with self._step("up, the version before"):
            before.compose("up", "--detach", "--no-build")
            own = before.write_own()
            wait_for(lambda: before.is_counted(own), "an own event in Redis")
        applied = int(before.sql(_APPLIED, "engagement_platform"))
        self.engine.docker("tag", _NOW, IMAGE)
        with self._step("up, upgraded"):
            before.compose("down")
            self.engine.docker("volume", "prune", "--force")  # nameless ones, which the version before has left
            now.compose("up", "--detach", "--no-build")
            own = now.write_own()
            wait_for(lambda: now.is_counted(own), "an own event in Redis after the upgrade")
        migrated = int(now.sql(_APPLIED, "engagement_platform"))
        self.report["migrations"] = [applied, migrated]
        newest = len(list((now.tree / _MIGRATIONS).glob("*.sql")))
        assert applied < migrated == newest, f"{applied} migrations before, {migrated} after, {newest} there are"

    def _streams(self, now: Project) -> None:
        with self._step("own event in Redis, receiver and warehouse; the page says that all is well"):
            self._arrives(now, now.write_own(), "own_event")
            self._page_is_well(now)
        self.report["megabytes"] = now.megabytes()
        self.report["lines_of_the_first_start"] = {name: len(now.log(name)) for name in ("kafka", "daemon", now.code)}

    def _arrives(self, now: Project, own: Own, what: str) -> None:
        took = self.report.setdefault("seconds_from_commit", {}).setdefault(what, {})
        for sink, arrived in (
            ("redis", now.is_counted), ("receiver", now.is_delivered), ("warehouse", self._is_staged_by(now)),
        ):  # fmt: skip
            wait_for(lambda arrived=arrived: arrived(own), f"event {own.event_id} in {sink}")  # type: ignore[misc]
            took[sink] = round(time.time() - own.at, 1)

    def _is_staged_by(self, now: Project) -> Callable[[Own], bool]:
        def is_staged(own: Own) -> bool:
            query = f"SELECT count(*) FROM engagement_events WHERE id = {own.event_id}"
            told = now.platform("sql", "--format", "csv", query).strip().splitlines()[-1]
            assert told in ("0", "1"), f"event {own.event_id} is counted {told} times in the warehouse"
            return told == "1"

        return is_staged

    def _page_is_well(self, now: Project) -> None:
        wait_for(lambda: now.page("/api/v1/status")["well"], "the page to say that all is well")
        assert "All well" in now.page("/")

    def _heals(self, now: Project) -> None:
        """Kill the main process of each container: the engine starts it again, and the stream goes on."""
        healed: dict[str, float] = self.report.setdefault("seconds_until_healed", {})
        with self._step("each container killed"):
            for names in (_APART, *((name,) for name in _KILLED)):
                began = time.monotonic()
                self._kill(now, *names)
                wait_for(lambda names=names: not now.unhealthy(*names), f"{names} to be healthy")  # type: ignore[misc]
                own = now.write_own()
                wait_for(lambda own=own: now.is_counted(own), f"an event in Redis after {names}")  # type: ignore[misc]
                wait_for(lambda own=own: now.is_delivered(own), f"an event delivered after {names}")  # type: ignore[misc]
                healed[", ".join(names)] = round(time.monotonic() - began, 1)
            self._page_is_well(now)
        assert not lines_twice(now.log(now.code)), lines_twice(now.log(now.code))[:5]

    def _kill(self, now: Project, *names: str) -> None:
        found = now.containers()
        for name in names:
            os.kill(main_process(found[name]), signal.SIGKILL)
        for name in names:
            first = found[name]["State"]["StartedAt"]
            wait_for(
                lambda name=name, first=first: now.containers()[name]["State"]["StartedAt"] != first,  # type: ignore[misc]
                f"{name} to be started again",
            )

    def _starts_again(self, now: Project) -> None:
        for what, commands in (
            ("restart", [("restart",)]),
            ("stop, up", [("stop",), ("up", "--detach", "--no-build")]),
            ("down, up", [("down",), ("up", "--detach", "--no-build")]),
        ):
            with self._step(what):
                had, staged = now.in_source(), now.staged()
                for command in commands:
                    ended = time.time()
                    now.compose(*command)
                wait_for(lambda had=had: now.in_source() >= had, "the source")  # type: ignore[misc]
                own = now.write_own()
                wait_for(lambda own=own: now.is_counted(own), f"an event in Redis after {what}")  # type: ignore[misc]
                self.report.setdefault("seconds_until_counted", {})[what] = round(time.time() - ended, 1)
                wait_for(lambda: not now.unhealthy(), "all to be healthy")
                assert now.in_source() > had, f"the source lost events by {what}"
                assert now.staged() >= staged, f"the warehouse lost events by {what}"
            self._has_no_nameless_volume()

    def _agrees(self, now: Project) -> None:
        """With nobody who writes, each sink has what the source has."""
        with self._step("each sink against the source"):
            now.compose("stop", "generator")
            wait_for(lambda: now.staged()[0] >= now.in_source(), "all events in the warehouse")
            rows, ids = now.staged()
            source = now.in_source()
            self.report["events"] = {"source": source, "warehouse": rows, "doubled": rows - ids}
            assert rows == ids == source, self.report["events"]
            wait_for(lambda: len(set(now.window())) == 1, "the window of Redis to be that of the source", 60)

    def _streams_by_core(self, now: Project) -> None:
        """Profile core, with the code of the working tree; the bundled server plays a source of one's own."""
        now.compose("down")
        own_settings = now.tree / ".env"
        own_settings.write_text("ENGAGEMENT_SOURCE_DSN_FILE=/run/passwords/source_dsn\n")
        core = replace(now, profile="core", more=("docker/compose.dev.yaml",))
        with self._step("core, with the override for development"):
            core.compose("up", "--detach", "--no-build")
            own = core.write_own()
            wait_for(lambda: core.is_counted(own), "an own event in Redis")
            core.compose("down")
        own_settings.unlink()

    def _has_no_nameless_volume(self) -> None:
        volumes = self.engine.docker("volume", "ls", "--quiet").split()
        assert all(name.startswith("engagement_") for name in volumes), volumes

    def _leaves_nothing(self, now: Project) -> None:
        with self._step("down"):
            self._has_no_nameless_volume()
            now.compose("down", "--volumes")
            assert not self.engine.docker("volume", "ls", "--quiet").split()
            assert not self.engine.docker("ps", "--all", "--quiet").split()

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        print(f"{what} ...", end=" ", flush=True, file=sys.stderr)  # noqa: T201
        yield
        seconds = round(time.monotonic() - began, 1)
        self.report.setdefault("seconds", {})[what] = seconds
        print(f"{seconds} s", flush=True, file=sys.stderr)  # noqa: T201


def revision_before() -> str:
    """Return the commit before the one that brought the newest migration: what an upgrade has to bring up."""
    found = subprocess.run(
        ["git", "-C", str(REPOSITORY), "log", "-1", "--format=%H^", "--diff-filter=A", "--", f"{_MIGRATIONS}/*.sql"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found, "the history of the repository is not here: an upgrade cannot be tried in a shallow clone"
    return found


_MENDED = {
    "docker/Dockerfile": {"COPY README.md LICENSE ./": "COPY README.md LICENSE dagster.yaml ./"},
    "docker/compose.yaml": {
        f"/opt/kafka/{name}:size={size},mode=1777": f"/opt/kafka/{name}:size={size},uid=1000,gid=1000,mode=0755"
        for name, size in (("config", "4m"), ("logs", "64m"))
    },
}
"""What kept versions before from being built, and from being started on an engine whose runc is older than 1.1.8."""


def _mended(tree: Path) -> Path:
    for name, mends in _MENDED.items():
        text = (tree / name).read_text()
        for wrong, right in mends.items():
            text = text.replace(wrong, right)
        (tree / name).write_text(text)
    return tree
