"""Docker's engine of one's own: from packages, with its data, sockets and programs in folders that go with it.

It changes nothing of this machine: no rules of the firewall, no service, no bridge but those of the networks that
compose makes, which go when it takes them down. Needs root.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PLUGINS = "root/usr/libexec/docker/cli-plugins"
_START_SECONDS = 60
_GROUP = "engagement-docker"
_CONTROLLERS = Path("/sys/fs/cgroup")
_SHARES = 8 * 1024
"""Of the processors, for all containers: beside others they count as eight processes, and not as one together."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that runs: `programs` is what `engine.sh` printed, `home` has all that the engine writes."""

    programs: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What lets a docker client speak to this engine alone."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))},
            "PATH": _path(self.programs),
            "DOCKER_HOST": f"unix://{self.home}/docker.sock",
            "DOCKER_CONFIG": str(self.home / "client"),
            "DOCKER_BUILDKIT": "1",
        }

    def docker(self, *arguments: str, folder: Path | None = None, **more: str) -> str:
        """Run a command of docker and return what it prints. Raises AssertionError with its output where it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            cwd=folder,
            env=self.environment | more,
            capture_output=True,
            check=False,
        )
        out, error = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{out[-3000:]}\n{error[-5000:]}"
        return out

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """Return what the engine knows of containers."""
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *names)) if names else []
        return found

    def containers(self) -> list[dict[str, Any]]:
        """Return all containers, ended ones too."""
        return self.inspect(*self.docker("ps", "--all", "--quiet").split())

    def remove_everything(self) -> None:
        """Remove containers, networks and volumes, whatever made them; images stay."""
        with suppress(AssertionError):
            if found := self.docker("ps", "--all", "--quiet").split():
                self.docker("rm", "--force", "--volumes", *found)
            self.docker("network", "prune", "--force")
            self.docker("volume", "prune", "--all", "--force")


@contextmanager
def running(programs: Path, home: Path) -> Iterator[Engine]:
    """Start an engine, and end it by its number with everything in it."""
    client = home / "client"
    shutil.rmtree(client, ignore_errors=True)
    client.mkdir(parents=True)
    (client / "cli-plugins").symlink_to(programs / _PLUGINS)
    _take_shares()
    engine = Engine(programs, home)
    with (home / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            _command(home), env=os.environ | {"PATH": _path(programs)}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await(engine, daemon)
        try:
            yield engine
        finally:
            engine.remove_everything()
    finally:
        _end(daemon, home)


def _path(programs: Path) -> str:
    return (
        f"{programs}/root/usr/sbin:{programs}/root/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )


def _command(home: Path) -> list[str]:
    return [
        "dockerd", "--host", f"unix://{home}/docker.sock", "--data-root", f"{home}/data", "--exec-root", f"{home}/exec",
        "--pidfile", f"{home}/dockerd.pid", "--cgroup-parent", f"/{_GROUP}",
        "--iptables=false", "--ip6tables=false", "--bridge=none",
        # No more than a container's root may ask for where the machine lets it ask for little.
        "--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=4096:4096",
    ]  # fmt: skip


def _await(engine: Engine, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with suppress(AssertionError):
            engine.docker("version")
            return
        log = (engine.home / "dockerd.log").read_text(errors="replace")
        assert daemon.poll() is None, f"the engine has ended:\n{log[-3000:]}"
        assert time.monotonic() < deadline, f"the engine does not answer:\n{log[-3000:]}"
        time.sleep(0.2)


def _end(daemon: subprocess.Popen[bytes], home: Path) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
    for mount in reversed(mounts_below(home)):
        subprocess.run(["umount", "--lazy", mount], check=False)
    for group in (_CONTROLLERS / _GROUP, *_CONTROLLERS.glob(f"*/{_GROUP}")):
        for path, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(path).rmdir()


def _take_shares() -> None:
    group = _CONTROLLERS / "cpu" / _GROUP
    if group.parent.is_dir():  # the older form of control groups
        group.mkdir(exist_ok=True)
        (group / "cpu.shares").write_text(str(_SHARES))


def mounts_below(folder: Path) -> list[str]:
    """Return the mounts of this machine that lie in a folder."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{folder}/")]


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose command line names a folder: the engine, and the shims of its containers."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return [pid for pid in found if pid not in (os.getpid(), os.getppid())]
