"""The state folder of the local stack: ports, passwords, locks. One folder holds everything there is to delete."""

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.process import Daemon

LAYOUT = 1


@dataclass(slots=True)
class State:
    """What must stay the same from one start to the next."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    durable: bool = True

    def daemon(self, name: str) -> Daemon:
        """Return the handle of a server's process."""
        return Daemon(name, self.folder / "run" / f"{name}.json", self.folder / "logs" / f"{name}.log")

    def password(self, owner: str) -> str:
        """Return the password of an owner, made up once."""
        return self.passwords.setdefault(owner, secrets.token_urlsafe(18))

    def save(self) -> None:
        """Write the state, readable by its owner only."""
        data = {"layout": LAYOUT, "ports": self.ports, "passwords": self.passwords, "durable": self.durable}
        write_private(self.folder / "stack.json", json.dumps(data, indent=2))


def load(folder: Path) -> State:
    """Read the state of a folder; a new folder has an empty one. Raises EngagementError."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "stack.json"
        if not file.exists():
            return State(folder)
        data = json.loads(file.read_text())
    except OSError as error:
        raise EngagementError(
            f"The state folder {folder} cannot be used: {error.strerror}.",
            "Check its rights and the space on its disk, or let ENGAGEMENT_STATE_DIR name another.",
        ) from error
    except ValueError:
        data = {}
    if data.get("layout") != LAYOUT:
        raise EngagementError(
            f"The state folder {folder} was made by another version.", "Delete it with: engagement-platform reset"
        )
    return State(folder, data["ports"], data["passwords"], data["durable"])


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it. Raises EngagementError when it cannot be written."""
    temporary = file.with_name(file.name + ".new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
        temporary.replace(file)
    except OSError as error:
        raise EngagementError(
            f"{file} cannot be written: {error.strerror}.", "Check the folder's rights and the space on its disk."
        ) from error


@contextmanager
def exclusive(folder: Path, purpose: str) -> Iterator[None]:
    """Hold the folder for one purpose. The lock dies with its process, so none is ever stale."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{purpose}.lock").open("a+") as file:
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


def choose_port(remembered: int | None, usual: int | None) -> int:
    """Return a free port on loopback: the remembered one, else the usual one, else any."""
    for port in (remembered, usual):
        if port is not None and is_free(port):
            return port
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
