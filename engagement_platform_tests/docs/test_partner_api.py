"""The page about the partner's API: its example, its receiver and its table are what the code does."""

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from engagement_platform.adapters.partner.client import Partner
from engagement_platform.domain import signing
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Verdict, judge
from engagement_platform_tests.partner import message, partner_settings

PAGE = (Path(__file__).parents[2] / "docs" / "partner-api.md").read_text()
NOW = datetime.now(UTC)
VERDICTS = {
    "delivered": Verdict.DELIVERED,
    "again": Verdict.AGAIN,
    "refused": Verdict.REFUSED,
    "stop": Verdict.STOP,
}


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def receiver() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    return names


def posted(events: list[tuple[int, bytes]], **changes: Any) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a request that the client really makes."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        settings = partner_settings(f"http://127.0.0.1:{server.server_port}/events", **changes)
        with closing(Partner(settings.api)) as partner:
            assert partner.post(events) == Answer(204)
        thread.join()
    return got[0]


def test_the_request_looks_as_the_page_says() -> None:
    headers, _ = posted([(5, message(5))], api_signing_key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", api_token="t")
    shown = dict(line.split(": ", 1) for line in block("http").splitlines()[1:])
    assert {name.lower() for name in shown} <= {name.lower() for name in headers}
    assert shown["webhook-id"] == shown["Idempotency-Key"] == signing.request_id("engagement", [5])
    assert block("json").startswith('[{"key":"engagement-event-5","id":5,"content_id":')


def test_its_receiver_takes_what_the_client_sends_once(receiver: dict[str, Any]) -> None:
    accept: Callable[[dict[str, str], bytes], list[dict[str, Any]]] = receiver["accept"]
    headers, body = posted([(5, message(5)), (6, message(6))], api_signing_key=receiver["SIGNING_KEY"])
    assert [event["id"] for event in accept(headers, body)] == [5, 6]
    assert accept(headers, body) == []
    with pytest.raises(PermissionError, match="wrong signature"):
        accept(headers, body.replace(b'"id":5', b'"id":7'))
    with pytest.raises(PermissionError, match="too old"):
        accept(headers | {"webhook-timestamp": str(int(time.time()) - 400)}, body)


def test_the_key_stands_first_and_the_fields_are_those_of_the_topic() -> None:
    _, body = posted([(5, message(5))])
    (event,) = json.loads(body)
    assert list(event) == ["key", *json.loads(message(5))]


def rows() -> list[tuple[str, str]]:
    table = PAGE.split("## What an answer means")[1].split("##")[0]
    return re.findall(r"^\| (?!answer)([^|-][^|]*) \| (\w+)", table, re.MULTILINE)


def test_every_status_has_the_verdict_of_the_table() -> None:
    single: dict[int, Verdict] = {}
    ranges: dict[int, Verdict] = {}
    for answer, verdict in rows():
        if match := re.match(r"(other )?(\d+) to (\d+)", answer):
            ranges |= dict.fromkeys(range(int(match[2]), int(match[3]) + 1), VERDICTS[verdict])
        else:
            single |= dict.fromkeys(map(int, re.findall(r"\d{3}", answer)), VERDICTS[verdict])
    assert set(ranges) == set(range(200, 600))
    assert ranges | single == {status: judge(Answer(status), NOW).verdict for status in range(200, 600)}


def test_no_answer_and_a_certificate_are_in_the_table() -> None:
    said = dict(rows())
    assert VERDICTS[said["500 to 599, and no answer"]] is judge(NoAnswer("gone"), NOW).verdict
    untrusted = judge(NoAnswer("not trusted", for_a_person=True), NOW)
    assert VERDICTS[said["a certificate that is not trusted"]] is untrusted.verdict
