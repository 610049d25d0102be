"""A webhook for tests: a real HTTP server on loopback that keeps what it gets and answers as it is told."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from engagement_platform.domain import signing
from engagement_platform.local.receiver_http import Reply, Server

PATH = "/services/T0000/B0000/secret-of-the-hook"
"""Looks like that of Slack's webhooks, which is a secret."""


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded

    @property
    def id(self) -> str:
        return self.headers[signing.HEADER_ID]

    @property
    def told(self) -> tuple[str, str, str]:
        """Whether it begins or is over, the kind and the subject."""
        data = self.body["data"]
        return self.body["type"].rpartition(".")[2], data["kind"], data["subject"]

    def is_signed(self, secrets: Sequence[bytes]) -> bool:
        at, given = self.headers[signing.HEADER_TIMESTAMP], self.headers.get(signing.HEADER_SIGNATURE, "")
        return signing.is_signed(secrets, self.id, int(at), self.raw, given)


class AlertReceiver:
    """Listens while the block runs. What it answers with an error it has not taken."""

    def __init__(self) -> None:
        self.asked: list[Received] = []
        self.taken: list[Received] = []
        self.status, self.said = 200, b"ok"
        self.extra: dict[str, str] = {}
        self.when_asked: Callable[[], object] = lambda: None
        """What is done with each request before it is answered."""
        self._port = 0
        self._server: Server | None = None
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{PATH}"

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """What was taken, in its order."""
        return [one.told for one in self.taken]

    def answers(self, status: int, said: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Answer so from now on."""
        self.status, self.said, self.extra = status, said, headers or {}

    def up(self) -> None:
        """Listen, on the port of before."""
        self._server = Server("127.0.0.1", self._port, lambda: None, self._reply)
        self._port = self._server.server_address[1]

    def down(self) -> None:
        """Close all connections and accept no more."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def _reply(self, headers: dict[str, str], body: bytes) -> Reply:
        received = Received(headers, body)
        self.asked.append(received)
        self.when_asked()
        if 200 <= self.status < 300:
            self.taken.append(received)
        return Reply(self.status, self.said, self.extra)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
