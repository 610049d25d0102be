"""A partner for tests and for the demo: it records what it gets, verifies signatures, and misbehaves on command.

In a thread: `with Receiver() as receiver: ...`. As a process of its own:

    python -m engagement_platform.local.receiver --port 8081 --control-port 8082 [--host H] [--signing-key whsec_...]

Control, on a port of its own so that it answers while the partner is down: `GET /state`, `GET /deliveries?after=N` (one
JSON array a line, as `Delivery`), `POST /behaviour` with the fields of `Behaviour`, and `POST /up` or `POST /down`.
"""

import argparse
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http.server import ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from engagement_platform.domain import signing
from engagement_platform.domain.nesting import flattened
from engagement_platform.local.receiver_http import Handler, Reply, Server

_CLOCK_TOLERANCE_SECONDS = 300
_RECORDED = frozenset({"ok", "slow", "garbage", "close", "hints", "twice"})

FAULTS = ("slow", "throttle", "error", "close", "garbage", "redirect")
"""What a random mix is made of unless it is told."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the partner does with a request. `mix` does one of `faults` with a probability of `share`, else all is well.

    Modes: ok; slow (answers after `seconds`); throttle (429 with `retry_after`); error (`status`); close (the
    connection, once the body is read: the events count, and it looks like a failure); garbage (200, and a body that is
    none); redirect; hints (an informational answer before the final one); twice (a second answer, 500, right behind the
    first, 200); mix. Beside the mode, requests with one of the keys in `poison` always get `poison_status`.
    """

    mode: str = "ok"
    seconds: float = 0.2
    retry_after: int = 1
    status: int = 500
    share: float = 0.2
    seed: int = 0
    faults: tuple[str, ...] = FAULTS
    poison: frozenset[str] = frozenset()
    poison_status: int = 422


class Delivery(NamedTuple):
    """One event as it arrived."""

    key: str
    content_id: str | None
    webhook_id: str
    at: float
    """In seconds since 1970."""
    event_id: int | None
    """Its field `id`, where the partner gets that."""


class Erased(NamedTuple):
    """A user of whom the partner was told to forget everything."""

    webhook_id: str
    timestamp: str
    stream: str
    user: str | int


@dataclass(slots=True)
class ReceiverState:
    """What has happened so far."""

    connections: int = 0
    requests: int = 0
    events: int = 0
    unsigned: int = 0
    """Requests whose signature, or time, was not right."""
    malformed: int = 0
    """Requests whose body was no event and no array of them, or whose keys did not belong together."""
    largest: int = 0
    """Most events in one request."""


class Receiver:
    """The partner. Without `secrets` it does not look at signatures. Listens on loopback unless told otherwise."""

    def __init__(self, secrets: Sequence[bytes] = (), port: int = 0, host: str = "127.0.0.1") -> None:
        self.deliveries: list[Delivery] = []
        self.erased: list[Erased] = []
        self.headers: list[dict[str, str]] = []
        """Those of the last requests, at most a hundred."""
        self.statuses: Counter[int] = Counter()
        self.state = ReceiverState()
        self._secrets = secrets
        self._lock = threading.Lock()
        self.behave(Behaviour())
        self._server: Server | None = None
        self.host, self.port = host, port
        self.up()

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.port}/events"

    def behave(self, behaviour: Behaviour) -> None:
        """Do this from now on."""
        with self._lock:
            self._behaviour, self._luck = behaviour, random.Random(behaviour.seed)  # noqa: S311, to be repeatable

    def up(self) -> None:
        """Listen, on the port of before."""
        if self._server is None:
            self._server = Server(self.host, self.port, self.connected, self.reply)
            self.port = self._server.server_address[1]

    def down(self) -> None:
        """Close all connections and accept no more."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def connected(self) -> None:
        """Note that somebody has connected."""
        self.state.connections += 1

    def reply(self, headers: dict[str, str], body: bytes) -> Reply:
        """Record a request, and return what is answered to it."""
        mode, behaviour = self._take(headers, body)
        fixed = {"throttle": 429, "redirect": 302, "unauthorized": 401, "malformed": 400}
        status = (fixed | {"error": behaviour.status, "poison": behaviour.poison_status}).get(mode, 200)
        if mode != "close":
            self.statuses[status] += 1
        extra = {"throttle": {"Retry-After": str(behaviour.retry_after)}, "redirect": {"Location": "/elsewhere"}}
        return Reply(
            status,
            b"\xff\x00<garbage" if mode == "garbage" else b'{"mode":"%s"}' % mode.encode(),
            extra.get(mode, {}),
            after_seconds=behaviour.seconds if mode == "slow" else 0.0,
            is_none=mode == "close",
            hints=mode == "hints",
            then=500 if mode == "twice" else None,
        )

    def _take(self, headers: dict[str, str], body: bytes) -> tuple[str, Behaviour]:
        """Decide what to do with a request, and record its events if they count."""
        events = _events(body)
        with self._lock:
            behaviour, state = self._behaviour, self.state
            mode = behaviour.mode
            if mode == "mix":
                mode = self._luck.choice(behaviour.faults) if self._luck.random() < behaviour.share else "ok"
            state.requests += 1
            self.headers = [*self.headers[-99:], headers]
            name = headers.get(signing.HEADER_ID, "")
            if not self._is_signed(headers, body):
                state.unsigned += 1
                return "unauthorized", behaviour
            if (erased := _erased(body)) is not None:
                if mode in _RECORDED:
                    self.erased.append(Erased(name, erased.timestamp, erased.data.stream, erased.data.user))
                return mode, behaviour
            if not events or name != headers.get("idempotency-key") or name != _request_id(events):
                state.malformed += 1
                return "malformed", behaviour
            if not behaviour.poison.isdisjoint(event.key for event in events):
                return "poison", behaviour
            if mode in _RECORDED:
                now = time.time()
                self.deliveries.extend(
                    Delivery(received.key, received.content_id, name, now, received.id) for received in events
                )
                state.events += len(events)
                state.largest = max(state.largest, len(events))
            return mode, behaviour

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        if not self._secrets:
            return True
        timestamp = headers.get(signing.HEADER_TIMESTAMP, "")
        if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > _CLOCK_TOLERANCE_SECONDS:
            return False
        name, given = headers.get(signing.HEADER_ID, ""), headers.get(signing.HEADER_SIGNATURE, "")
        return signing.is_signed(self._secrets, name, int(timestamp), body, given)


class _ErasedUser(msgspec.Struct, frozen=True):
    stream: str
    user: str | int


class _Erasure(msgspec.Struct, frozen=True, tag_field="type", tag="user.erased"):
    """A message that tells of a user who was erased."""

    timestamp: str
    data: _ErasedUser


_erasure_decoder = msgspec.json.Decoder(_Erasure)


def _erased(body: bytes) -> _Erasure | None:
    """Return what a body tells of an erased user; None for any other one."""
    try:
        return _erasure_decoder.decode(body)
    except msgspec.DecodeError:
        return None


class _Posted(msgspec.Struct, frozen=True):
    """What is looked at of an event. Fields that a partner need not understand are passed over."""

    key: str
    content_id: str | None = None
    id: int | None = None


_decoder: msgspec.json.Decoder[list[_Posted] | _Posted] = msgspec.json.Decoder(list[_Posted] | _Posted)


def _events(body: bytes) -> list[_Posted]:
    """Return the events of a body; none when it is malformed."""
    try:
        decoded = _decoded(body)
    except (msgspec.DecodeError, ValueError):  # ValueError: not UTF-8
        return []
    return decoded if isinstance(decoded, list) else [decoded]


def _decoded(body: bytes) -> list[_Posted] | _Posted:
    """Return what a body holds, however deep payloads are nested."""
    try:
        return _decoder.decode(body)
    except RecursionError:
        return _decoder.decode(flattened(body, 2))


def _request_id(events: list[_Posted]) -> str:
    names = [event.key.rpartition("-event-") for event in events]
    return signing.request_id(names[0][0], (int(number) for _, _, number in names))


def _control(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    class Control(Handler):
        def do_GET(self) -> None:  # noqa: N802 - what http.server calls
            asked = urlsplit(self.path)
            if asked.path == "/state":
                self.answer(200, json.dumps(asdict(receiver.state)).encode())
            elif asked.path == "/deliveries":
                after = int(parse_qs(asked.query).get("after", ["0"])[0])
                self.answer(200, b"\n".join(map(msgspec.json.encode, receiver.deliveries[after:])))
            else:
                self.answer(404)

        def do_POST(self) -> None:  # noqa: N802
            body = self.content()
            try:
                match self.path:
                    case "/behaviour":
                        receiver.behave(msgspec.json.decode(body, type=Behaviour))
                    case "/up":
                        receiver.up()
                    case "/down":
                        receiver.down()
                    case _:
                        self.answer(404)
                        return
            except msgspec.DecodeError as error:
                self.answer(400, str(error).encode())
                return
            self.answer(204)

    return ThreadingHTTPServer(("127.0.0.1", port), Control)


def main() -> None:
    """Receive until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A partner's API that records, verifies and misbehaves on command.")
    parser.add_argument("--host", default="127.0.0.1", help="where to receive; the control port is always on loopback")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--signing-key", default="")
    given = parser.parse_args()
    secrets = signing.secrets_of(given.signing_key) if given.signing_key else ()
    with Receiver(secrets, given.port, given.host) as receiver, _control(receiver, given.control_port) as control:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=control.shutdown).start())
        control.serve_forever(0.1)


if __name__ == "__main__":
    main()
