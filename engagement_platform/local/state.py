"""The state folder of the local stack: ports, passwords, locks. One folder holds everything there is to delete."""

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.process import Daemon

LAYOUT = 1

_SAVING = threading.Lock()
"""The servers of a stack are started in several threads."""


@dataclass(slots=True)
class StackState:
    """What must stay the same from one start to the next."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    durable: bool = True
    outside: str | None = None
    """A folder elsewhere, for what a server's user must reach when it cannot reach this one."""

    def daemon(self, name: str) -> Daemon:
        """Return the handle of a server's process."""
        return Daemon(name, self.folder / "run" / f"{name}.json", self.folder / "logs" / f"{name}.log")

    def password(self, owner: str) -> str:
        """Return the password of an owner, made up once."""
        return self.passwords.setdefault(owner, secrets.token_urlsafe(18))

    def save(self) -> None:
        """Write the state, readable by its owner only."""
        data = {"layout": LAYOUT, **asdict(self)}
        del data["folder"]
        with _SAVING:
            write_private(self.folder / "stack.json", json.dumps(data, indent=2))

    def make_outside(self) -> Path:
        """Return the folder elsewhere, made and recorded once under a name that nobody can foresee."""
        if self.outside is None or not Path(self.outside).is_dir():
            self.outside = tempfile.mkdtemp(prefix="engagement-platform-", dir="/var/tmp")
            Path(self.outside).chmod(0o711)
            self.save()
        return Path(self.outside)

    def delete(self) -> None:
        """Delete the folder and the one elsewhere."""
        if self.outside is not None:
            shutil.rmtree(self.outside, ignore_errors=True)
        shutil.rmtree(self.folder)


def load(folder: Path) -> StackState:
    """Read the state of a folder; a new folder has an empty one. Raises EngagementError."""
    folder = folder.absolute()
    data = _read(folder)
    if data is None:
        return StackState(folder)
    if data.get("layout") != LAYOUT:
        raise EngagementError(
            f"The state folder {folder} was made by another version.", "Delete it with: engagement-platform reset"
        )
    return StackState(folder, data["ports"], data["passwords"], data["durable"], data.get("outside"))


def load_to_delete(folder: Path) -> StackState:
    """Read as much of a state as deleting it takes, of any version. Raises EngagementError when it is not a stack's."""
    folder = folder.resolve()
    data = _read(folder)
    holds_more = any(Path(path).resolve().is_relative_to(folder) for path in (Path.cwd(), Path.home()))
    if data is None or holds_more:
        raise EngagementError(
            f"{folder} is not the folder of a local stack alone, so it is not deleted.",
            "Name the right one with --state-dir, or delete it by hand.",
        )
    outside = data.get("outside")
    return StackState(folder, outside=outside if isinstance(outside, str) else None)


def _read(folder: Path) -> dict[str, Any] | None:
    """Return what a folder records; None where there is no record, an empty one where it cannot be understood."""
    try:
        data = json.loads((folder / "stack.json").read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(folder, error) from error
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def unusable(folder: Path, error: OSError) -> EngagementError:
    """Return what to say when the system refuses work in the state folder."""
    return EngagementError(
        f"The state folder {folder} cannot be used: {error.strerror or error}.",
        "Check its rights and the space on its disk, or let ENGAGEMENT_STATE_DIR name another.",
    )


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it. Raises EngagementError when it cannot be written."""
    temporary = file.with_name(file.name + ".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        temporary.replace(file)
    except OSError as error:
        raise EngagementError(
            f"{file} cannot be written: {error.strerror}.", "Check the folder's rights and the space on its disk."
        ) from error


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Let a folder be made under another name in the block: one that is half made is never taken for a whole one."""
    unfinished = folder.with_name(folder.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    yield unfinished
    unfinished.rename(folder)


@contextmanager
def exclusive(folder: Path, purpose: str) -> Iterator[None]:
    """Hold the folder for one purpose. The lock dies with its process, so none is ever stale."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{purpose}.lock").open("a+")
    except OSError as error:
        raise unusable(folder, error) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise EngagementError(
                f"Another process ({file.read().strip() or 'unknown'}) is busy with {purpose} in {folder}.",
                "Wait for it, or end it.",
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


_OTHERS = range(20_000, 32_768)
"""Systems take the ports of outgoing connections from above: one of those would be gone when a server is restarted."""


def choose_port(remembered: int | None, usual: int | None) -> int:
    """Return a free port on loopback: the remembered one, else the usual one, else any. Raises EngagementError."""
    for port in (remembered, usual, *random.sample(_OTHERS, 100)):
        if port is not None and is_free(port):
            return port
    raise EngagementError(
        f"No port between {_OTHERS.start} and {_OTHERS.stop} is free.", "End some of the servers that run."
    )


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
