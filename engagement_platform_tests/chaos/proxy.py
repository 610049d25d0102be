"""Proxies between the platform and its servers, in a process of their own: they cut, delay and swallow on command.

One that has a certificate speaks TLS to the platform, and none to the server; to PostgreSQL's clients without what they
else ask first, as `sslnegotiation=direct` has it. The certificate may be replaced.

Commands are JSON objects, one a line on standard input, and each is answered by one line. The process ends with its
input, whatever becomes of who started it.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Mode = Literal["pass", "refuse", "hang", "swallow"]
"""What a route does: lets all through, refuses, holds all bytes back, or lets requests through and drops answers."""

_CHUNK = 65_536
_LOOK_SECONDS = 0.02


@dataclass
class Route:
    """The way to one server."""

    name: str
    upstream: int
    port: int
    tls: ssl.SSLContext | None = None
    mode: Mode = "pass"
    delay: float = 0.0
    peers: dict[int, int] = field(default_factory=dict)
    """The port by which the server knows a connection -> the port of whoever really has it."""
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until one side ends it."""
        if self.mode == "refuse":
            writer.transport.abort()
            return
        try:
            answers, requests = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        known_as, whose = requests.get_extra_info("sockname")[1], writer.get_extra_info("peername")
        if whose is None:  # it has gone meanwhile
            requests.close()
            return
        self.peers[known_as] = whose[1]
        self.open |= {writer, requests}
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, requests, is_answer=False)),
                asyncio.create_task(self._pump(answers, writer, is_answer=True)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(pumps, timeout=0.2)  # what the other side still has to say
            for pump in pumps:
                pump.cancel()
        finally:
            self.open -= {writer, requests}
            self.peers.pop(known_as, None)
            writer.transport.abort() if self.mode != "pass" else writer.close()
            requests.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                while self.mode == "hang":
                    await asyncio.sleep(_LOOK_SECONDS)
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.mode == "swallow" and is_answer:
                    continue
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass

    def cut(self) -> int:
        """Cut every connection; return how many there were."""
        cut = list(self.open)
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2


async def _main(routes: Mapping[str, Route]) -> None:
    for route in routes.values():
        await asyncio.start_server(route.serve, "127.0.0.1", route.port, backlog=256, ssl=route.tls)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    while line := await lines.readline():
        print(json.dumps(_obey(routes, json.loads(line))), flush=True)  # noqa: T201
    os._exit(0)  # connections that are open need no end of their own


def _obey(routes: Mapping[str, Route], command: Mapping[str, Any]) -> Mapping[str, Any]:
    route = routes[command["route"]]
    route.mode = command.get("mode", route.mode)
    route.delay = command.get("delay", route.delay)
    route.upstream = command.get("upstream", route.upstream)
    if route.tls and "certificate" in command:
        route.tls.load_cert_chain(command["certificate"])
    return {"cut": route.cut() if command.get("cut") else 0, "peers": route.peers}


def _routes(ports: Mapping[str, tuple[int, int]], certificates: Mapping[str, str]) -> Mapping[str, Route]:
    return {
        name: Route(name, upstream, port, _tls(certificates[name]) if name in certificates else None)
        for name, (upstream, port) in ports.items()
    }


def _tls(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["postgresql"])  # without which libpq takes nobody for a server; others name none
    return context


class Proxies:
    """The process, as the harness speaks to it."""

    def __init__(self, routes: Mapping[str, tuple[int, int]], certificates: Mapping[str, Path] | None = None) -> None:
        """Start it. `routes`: name -> the server's port, and the port to listen on; `certificates`: who speaks TLS."""
        files = {name: str(file) for name, file in (certificates or {}).items()}
        self.ports = {name: port for name, (_, port) in routes.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(routes), json.dumps(files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._answer()

    def tell(self, route: str, **command: Any) -> dict[str, Any]:
        """Change what a route does; return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"route": route, **command}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def owner_port(self, route: str, port: int) -> int | None:
        """Return whose port it is that a server knows as `port`."""
        found: int | None = self.tell(route)["peers"].get(str(port))
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


if __name__ == "__main__":
    asyncio.run(_main(_routes(json.loads(sys.argv[1]), json.loads(sys.argv[2]))))
