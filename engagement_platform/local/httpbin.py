"""httpbin, the demo's stand-in for a partner's HTTP API."""

import signal
import socket
import sys
from contextlib import closing

from engagement_platform.local.state import StackState

USUAL_PORTS = {"httpbin": 8080}


class Httpbin:
    """The server process."""

    name = "httpbin"
    ports = tuple(USUAL_PORTS)
    stop_signal = signal.SIGTERM

    def __init__(self, state: StackState) -> None:
        self._state = state
        self.daemon = state.daemon(self.name)

    def start(self) -> None:
        """Start the server and return when it, and no other one on the port, accepts connections."""
        if not self.daemon.is_running:
            port = str(self._state.ports[self.name])
            command = [
                sys.executable,
                "-m",
                "flask",
                "--app",
                "httpbin:app",
                "run",
                "--host",
                "127.0.0.1",
                "--port",
                port,
            ]
            self.daemon.spawn(command, folder=self._state.folder)
        self.daemon.wait_until(self._accepts, 30)

    @property
    def url(self) -> str:
        """The address that accepts events."""
        return f"http://127.0.0.1:{self._state.ports[self.name]}/post"

    def _accepts(self) -> bool:
        if not self.daemon.listens_on(self._state.ports[self.name]):
            return False
        with closing(socket.socket()) as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._state.ports[self.name])) == 0
