"""Connections of `requests` on which an answer is never taken for that of another request, and none lasts for ever.

urllib3 and http.client go on doing what they do well: names, TLS, proxies, writing requests. The answer is read by
`replies`, under one deadline, and the connection is closed where anything about it was not as expected.

What is known of a request belongs to the thread that makes it: see `Exchange.current`.
"""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from engagement_platform.adapters.partner import replies

_RECEIVE_BYTES = 1 << 16
_OF_THE_BODY = frozenset({"content-length", "transfer-encoding", "content-encoding", "trailer"})
"""Headers that say how the body was sent. It is handed on as it is, so they hold no longer."""

_thread = threading.local()


class Exchange:
    """One request and its answer: how long they may take, and the socket, which another thread may shut down."""

    def __init__(self, connect_seconds: float, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._until = time.monotonic() + connect_seconds + answer_seconds
        self._is_sending = False
        self._socket: socket.socket | None = None
        self.is_aborted = False
        self.early = b""
        """What the partner had sent before it had the whole request."""
        self.is_whole = False
        """Whether the whole request was sent."""
        self.is_first = False
        """Whether it is the first on its connection: what comes then is the answer to no other."""

    @classmethod
    def current(cls) -> "Exchange":
        """Return that of this thread."""
        exchange: Exchange = _thread.exchange
        return exchange

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Be that of this thread while the block runs."""
        _thread.exchange = self
        try:
            yield
        finally:
            self._socket = None
            del _thread.exchange

    @property
    def until(self) -> float:
        """The deadline, by time.monotonic()."""
        return self._until

    def seconds(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none, or the exchange was aborted."""
        left = self._until - time.monotonic()
        if left <= 0 or self.is_aborted:
            raise TimeoutError("the request took too long")
        return left

    def sends(self) -> None:
        """Note that the request begins to be sent: from now on the answer's time runs."""
        if not self._is_sending:
            self._is_sending = True
            self._until = min(self._until, time.monotonic() + self._answer_seconds)

    def attach(self, connected: socket.socket) -> None:
        """Note the socket that is used."""
        self._socket = connected
        if self.is_aborted:
            self.abort()

    def abort(self) -> None:
        """End the exchange at once, from any thread: there is no answer then."""
        self.is_aborted = True
        if (connected := self._socket) is not None:
            with suppress(OSError):  # SSLSocket's own shutdown would change what the other thread is using
                socket.socket.shutdown(getattr(connected, "socket", connected), socket.SHUT_RDWR)


class _Answer(http.client.HTTPResponse):
    """The answer as http.client hands it on: read whole, and the connection let go when it is in any doubt."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_Received(sock))
        self._socket = sock

    def begin(self) -> None:
        """Read the final answer. Raises NoReply, also where it may be that of another request, TimeoutError, OSError.

        What came before the request, on a connection that was used before, may be a late second answer to an earlier
        one; and a success means nothing when the request could not be sent to its end.
        """
        exchange, sock = Exchange.current(), self._socket
        reply = replies.read(replies.Reader(lambda seconds: _receive(sock, seconds), exchange.until, exchange.early))
        is_early = reply.begins < len(exchange.early) or not exchange.is_whole
        if is_early and not exchange.is_first:
            raise replies.NoReply("it answered before it had the request")
        if not exchange.is_whole and 200 <= reply.status < 300:
            raise replies.NoReply("it answered and closed the connection before it had the whole request")
        self.fp.close()
        self.fp = io.BufferedReader(io.BytesIO(reply.body))
        self.version, self.status, self.reason = 11, reply.status, ""
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in reply.headers:
            if name.lower() not in _OF_THE_BODY:
                self.headers[name] = value
        self.chunked, self.length = False, len(reply.body)
        self.will_close = is_early or not reply.keeps

    def _read_status(self) -> tuple[str, int, str]:
        """Return the first line of a proxy's final answer to CONNECT; http.client reads the rest of it."""
        for _ in range(replies.MAX_INFORMATIONAL):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                break
            while self.fp.readline(replies.MAX_HEAD_BYTES) not in (b"\r\n", b"\n", b""):
                pass
        return version, status, reason


class _Received(io.RawIOBase):
    """What comes on a socket, within the time of the thread's exchange."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        received = _receive(self._socket, Exchange.current().seconds(), len(buffer))
        buffer[: len(received)] = received
        return len(received)


def _receive(sock: socket.socket, seconds: float, most: int = _RECEIVE_BYTES) -> bytes:
    sock.settimeout(seconds)
    return sock.recv(most)


def _arrived(sock: socket.socket) -> bytes:
    """Return what has come, without waiting."""
    try:
        return _receive(sock, 0.0)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""


class _Strict(HTTPConnection):
    """A connection whose requests are exchanges."""

    response_class = _Answer
    _head = b""
    _body: Any = None
    _is_used = False

    def _new_conn(self) -> socket.socket:
        exchange = Exchange.current()
        left = exchange.seconds()
        self.timeout = left if self.timeout is None else min(self.timeout, left)
        connected = super()._new_conn()
        exchange.attach(connected)
        return connected

    def connect(self) -> None:
        super().connect()
        self._is_used = False
        Exchange.current().attach(self.sock)

    def request(self, method: str, url: str, body: Any = None, *args: Any, **options: Any) -> None:
        self._head, self._body = b"", body
        try:
            super().request(method, url, body, *args, **options)
        finally:
            self._body = None

    def send(self, data: Any) -> None:
        """Send a part of what is to be sent: a request's head and body together, as some read no further."""
        if self.sock is None:
            self.connect()
        exchange = Exchange.current()
        exchange.attach(self.sock)
        exchange.sends()
        if self._body is None:  # a CONNECT
            self._put(data)
        elif data is not self._body:
            self._head += data
        else:
            exchange.is_first, self._is_used = not self._is_used, True
            exchange.early = _arrived(self.sock)
            self._put(self._head + data)
            exchange.is_whole = True

    def _put(self, data: bytes) -> None:
        self.sock.settimeout(Exchange.current().seconds())
        self.sock.sendall(data)


class _StrictOverTls(_Strict, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Strict


class _PoolOverTls(HTTPSConnectionPool):
    ConnectionCls = _StrictOverTls


class ExchangeAdapter(HTTPAdapter):
    """Lets `requests` use these connections, straight and by proxies."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pool of straight connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Return the pool of a proxy's connections."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _PoolOverTls}
