"""httpbin, the demo's stand-in for a partner's HTTP API."""

import sys

from engagement_platform.local.server import Server

USUAL_PORTS = {"httpbin": 8080}


class Httpbin(Server):
    """The server process."""

    name = "httpbin"
    ports = tuple(USUAL_PORTS)

    def _spawn(self) -> None:
        program = (sys.executable, "-m", "flask", "--app", "httpbin:app", "run")
        self.daemon.spawn([*program, "--host", "127.0.0.1", "--port", str(self._port)], folder=self._state.folder)

    @property
    def url(self) -> str:
        """The address that accepts events."""
        return f"http://127.0.0.1:{self._port}/post"
