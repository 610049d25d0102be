"""How the receiver speaks HTTP, and breaks it where it is told to."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What is answered to a request."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    after_seconds: float = 0.0
    is_none: bool = False
    """The connection is closed instead."""
    hints: bool = False
    """An informational answer comes before it."""
    then: int | None = None
    """The status of a second answer, right behind it."""


class Server(ThreadingHTTPServer):
    """Answers posts from threads of its own until it is ended."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, host: str, port: int, connected: Callable[[], None], reply: Callable[[dict[str, str], bytes], Reply]
    ) -> None:
        super().__init__((host, port), _Partner)
        self.reply = reply
        self._connected = connected
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a connection, and know that it is open."""
        self._open.add(request)
        self._connected()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break: they are meant to."""

    def end(self) -> None:
        """Close all connections and accept no more."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open and writes each answer at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def content(self) -> bytes:
        """Return the body, or what there is of it."""
        return self.rfile.read(self.length)

    @property
    def length(self) -> int:
        """How long the body is to be."""
        return int(self.headers.get("Content-Length") or 0)

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Write a whole answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Partner(Handler):
    server: Server

    def do_POST(self) -> None:
        body = self.content()
        if len(body) < self.length:
            self.close_connection = True  # whoever sent it has died meanwhile
            return
        reply = self.server.reply({name.lower(): value for name, value in self.headers.items()}, body)
        if reply.is_none:
            self.close_connection = True
            return
        time.sleep(reply.after_seconds)
        if reply.hints:
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </events>; rel=self\r\n\r\n")
        self.answer(reply.status, reply.body, reply.headers)
        if reply.then is not None:
            self.answer(reply.then)
