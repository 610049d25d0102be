"""Asks a server over HTTP at a steady rate, or as fast as it answers, over some connections that stay open.

At a rate a request has a time at which it is due, be the connection free by then or not, and its latency counts from
there: a server that stops for a second is not asked less for that.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import psutil
import uvloop

_END_OF_HEAD = b"\r\n\r\n"
PATIENCE = 30.0
"""Seconds beyond those that were asked for, for the last answers."""
_LENGTH = b"content-length: "
_RINGS_EACH = 0.01


@dataclass(frozen=True)
class Asked:
    """What came of it."""

    answers: int
    failures: int
    """Answers with another status than 200."""
    seconds: float
    latencies: Sequence[float]
    """Seconds of each answer, ascending."""
    server_cpu_seconds: float
    own_cpu_seconds: float
    server_waited_seconds: float
    """For which the server's first thread was ready and had no processor; nan where the system does not tell."""
    last: bytes
    """The body of the last answer."""
    own_delays: Sequence[float]
    """Seconds by which a timer of the asking process rang too late, ascending: what the machine alone takes."""

    def quantile(self, share: float) -> float:
        """Return the milliseconds that a share of the answers did not exceed."""
        return _quantile(self.latencies, share)

    def own_delay(self, share: float) -> float:
        """Return the milliseconds that a share of the timer's delays did not exceed."""
        return _quantile(self.own_delays, share)


def _quantile(ascending: Sequence[float], share: float) -> float:
    return 1_000 * ascending[min(len(ascending) - 1, int(share * len(ascending)))]


_ROUNDING = 1e-6
"""Seconds by which a sum of intervals may miss the end."""


@dataclass
class _Load:
    request: bytes
    began: float
    ends: float
    interval: float
    """Seconds between two requests of a connection; 0: the next follows the answer."""
    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    last: bytes = b""


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load, first_at: float) -> None:
        self._load, self._due = load, first_at
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is derived from nothing
        self._wait()

    def _wait(self) -> None:
        now = time.monotonic()
        if self._due >= self._load.ends - _ROUNDING or now >= self._load.ends:
            if not self.ended.done():
                self.ended.set_result(None)
        elif self._due > now:
            asyncio.get_running_loop().call_at(self._due, self._send)
        else:
            self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEAD)
        if end < 0:
            return
        head = self._received[:end]
        at = head.lower().find(_LENGTH) + len(_LENGTH)
        length = int(head[at : (head.find(b"\r", at) + 1 or len(head) + 1) - 1])
        begin = end + len(_END_OF_HEAD)
        if len(self._received) - begin < length:
            return
        load, now = self._load, time.monotonic()
        load.last, self._received = self._received[begin : begin + length], self._received[begin + length :]
        load.latencies.append(now - self._due)
        load.failures += not head.startswith(b"HTTP/1.1 200")
        self._due = self._due + load.interval if load.interval else now
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server has closed the connection"))


def ask(port: int, path: str, pid: int, rate: float, seconds: float, connections: int) -> Asked:
    """Ask for a path on this machine for some time; `rate` is in requests a second, 0 for as many as are answered."""
    return uvloop.run(_ask(port, path, pid, rate, seconds, connections))


async def _ask(port: int, path: str, pid: int, rate: float, seconds: float, connections: int) -> Asked:
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    began = time.monotonic() + 0.2
    load = _Load(request, began, began + seconds, connections / rate if rate else 0.0)
    server, own = psutil.Process(pid), psutil.Process()
    before, own_before, waited_before = _cpu(server), _cpu(own), _waited(pid)
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    timer = asyncio.ensure_future(_ring(delays))
    opened = [
        await loop.create_connection(
            lambda number=number: _Connection(load, began + (number / rate if rate else 0.0)),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        for number in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(connection.ended for _, connection in opened)), seconds + PATIENCE)
    timer.cancel()
    took, cpu, own_cpu = time.monotonic() - began, _cpu(server) - before, _cpu(own) - own_before
    waited = _waited(pid) - waited_before
    for transport, connection in opened:
        connection.ended = loop.create_future()
        connection.ended.cancel()
        transport.close()
    ascending = sorted(load.latencies)
    return Asked(len(ascending), load.failures, took, ascending, cpu, own_cpu, waited, load.last, sorted(delays))


async def _ring(delays: list[float]) -> None:
    while True:
        due = time.monotonic() + _RINGS_EACH
        await asyncio.sleep(_RINGS_EACH)
        delays.append(time.monotonic() - due)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _waited(pid: int) -> float:
    """Return for how long a process' first thread has waited for a processor: see proc(5) on `schedstat` of Linux."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return float("nan")
