"""The page as a real server, over a sample that a test chooses."""

import threading

import uvicorn

from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sample
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.server import listen
from engagement_platform.console.serve.site import Site
from engagement_platform_tests.console.serve.conftest import TOKEN, StillSampler
from engagement_platform_tests.streaming import wait_for


class Served:
    """The page over a sample that a test chooses, on a port of loopback."""

    def __init__(self, sample: Sample) -> None:
        self.sampler = StillSampler(sample)
        streams = {name: stream.settings for name, stream in sample.streams.items()}
        self.site = Site(streams, self.sampler, Guard(TOKEN))
        self._port = 0
        self.begin()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def begin(self) -> None:
        """Begin to listen; on the same port as before."""
        self._socket = listen("127.0.0.1", self._port)
        self._port = self._socket.getsockname()[1]
        config = uvicorn.Config(create_app(self.site), log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self.site.is_closing = lambda: self._server.should_exit
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        wait_for(lambda: self._server.started, "the page")

    def end(self) -> None:
        """End, as a server that is stopped."""
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
