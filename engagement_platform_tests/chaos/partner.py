"""A partner that misbehaves by a seed, in a process of its own, and writes down every request that reached it.

It shares no line with the package: its own HTTP, its own check of the signature. A request is `taken` where the partner
has its events for good, whatever it then answers; the record of it is written before the answer.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

Answer = Literal["ok", "slow", "twice", "half", "reset_after", "reset_before", "error", "throttle", "unavailable"]

TAKEN: frozenset[Answer] = frozenset({"ok", "slow", "twice", "half", "reset_after"})
_FAULTS: tuple[Answer, ...] = (
    "slow",
    "twice",
    "half",
    "reset_after",
    "reset_before",
    "error",
    "throttle",
    "unavailable",
)
_STATUS = {"error": "500 Error", "throttle": "429 Too Many", "unavailable": "503 Away", "poison": "422 Refused"}
POISON_EVERY = 4_999
"""The partner never takes an event whose id is a multiple of it."""
_SLOW_SECONDS = 0.7


def is_poison(number: int) -> bool:
    """Say whether the partner never takes an event."""
    return number % POISON_EVERY == 0


def answer_to(seed: int, request: int, share: float) -> Answer:
    """Return what is done with the n-th request: a pure function of the seed. `share` of them go wrong."""
    luck = random.Random(f"{seed} {request}")
    return luck.choice(_FAULTS) if luck.random() < share else "ok"


def is_signed(key: str, headers: dict[str, str], body: bytes) -> bool:
    """Say whether a request has the signature of Standard Webhooks by a key."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    secret = base64.b64decode(key.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(secret, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers.get("webhook-signature", "").split()


@dataclass
class Partner:
    """What the process does with a request."""

    seed: int
    key: str
    record: TextIO
    share: float = 0.15
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it ends."""
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        self.requests += 1
        answer: str = answer_to(self.seed, self.requests, self.share)
        if answer == "reset_before":
            self._note([], "reset_before", taken=False)
            writer.transport.abort()
            return False
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        decoded = json.loads(body)
        events = [decoded] if isinstance(decoded, dict) else decoded
        if not is_signed(self.key, headers, body):
            answer = "unsigned"
        elif any(is_poison(event["id"]) for event in events):
            answer = "poison"
        self._note(events, answer, taken=answer in TAKEN)
        return await self._answer(writer, answer)

    def _note(self, events: list[dict[str, Any]], answer: str, *, taken: bool) -> None:
        those = [[event["id"], event.get("content_id"), event["key"]] for event in events]
        self.record.write(json.dumps({"at": time.time(), "answer": answer, "taken": taken, "events": those}) + "\n")
        self.record.flush()

    async def _answer(self, writer: asyncio.StreamWriter, answer: str) -> bool:
        if answer == "reset_after":
            writer.transport.abort()
            return False
        if answer == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        text = b'{"taken": true}'
        more = "Retry-After: 1\r\n" if answer == "throttle" else ""
        status = _STATUS.get(answer, "401 Unsigned" if answer == "unsigned" else "200 OK")
        whole = f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text
        writer.write(whole[:-9] if answer == "half" else whole * 2 if answer == "twice" else whole)
        await writer.drain()
        return answer not in {"half", "twice"}


async def _main(port: int, seed: int, key: str, file: Path) -> None:
    with file.open("a") as record:
        partner = Partner(seed, key, record)
        await asyncio.start_server(partner.serve, "127.0.0.1", port, backlog=256, limit=1 << 20)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            partner.share = float(line)
        os._exit(0)  # connections that are open need no end of their own


class PartnerProcess:
    """The process, as the harness speaks to it."""

    def __init__(self, port: int, seed: int, key: str, file: Path) -> None:
        self._command = [sys.executable, "-m", __name__, str(port), str(seed), key, str(file)]
        self.file, self.url = file, f"http://127.0.0.1:{port}/events"
        self.up()

    def up(self) -> None:
        """Listen."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, text=True, start_new_session=True)

    def down(self) -> None:
        """Be away, at once."""
        self._process.kill()
        self._process.wait()

    def misbehave(self, share: float) -> None:
        """Let this share of the requests go wrong from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{share}\n")
        self._process.stdin.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
