"""What the API says and does of deliveries, dead letters and traces, over the real servers."""

from typing import Any, get_args

import pytest
from starlette.testclient import TestClient

from engagement_platform.console.serve.api import deliveries, letters, trace
from engagement_platform.console.serve.api.times import moment_of
from engagement_platform.console.serve.work import changes
from engagement_platform.domain.dead_letters import DeadLetterState
from engagement_platform.domain.delivery.record import CLASSES, Became
from engagement_platform.domain.trace.trace import Mark, Place
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.console.serve.conftest import TOKEN
from engagement_platform_tests.dead_letters.support import states
from engagement_platform_tests.streaming import drain

BEARER = {"authorization": f"Bearer {TOKEN}", "x-actor": "a program"}


def test_the_words_of_the_api_are_those_of_the_platform() -> None:
    assert get_args(deliveries.Outcome) == tuple(Became)
    assert get_args(deliveries.StatusClass) == CLASSES
    assert get_args(letters.State) == tuple(state.value for state in DeadLetterState)
    assert get_args(trace.State) == tuple(mark.value for mark in Mark)
    assert trace.Places.__struct_fields__ == tuple(place.value for place in Place)


@pytest.mark.parametrize(
    ("text", "day"), [("2026-11-27T08:30:00.5Z", (11, 27)), ("2026-02-30T00:00:00Z", (3, 2)), (None, None)]
)
def test_every_time_of_the_pattern_means_one(text: str | None, day: tuple[int, int] | None) -> None:
    moment = moment_of(text)
    assert (moment and (moment.month, moment.day)) == day


def test_a_program_finds_redrives_and_traces(ours: Settings, receiver: Receiver, client: TestClient) -> None:
    def get(path: str) -> Any:
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(path: str, status: int = 200, **body: Any) -> Any:
        answer = client.post(f"/api/v1{path}", json=body, headers=BEARER)
        assert answer.status_code == status, answer.text
        return answer.json()

    refused = get("/deliveries?outcome=dead%20letter")
    assert [(one["events"], one["status"]) for one in refused["deliveries"]] == [([2], 422)]
    assert refused["counts"] == [{"outcome": "dead letter", "status": "4xx", "requests": 1, "events": 1}]
    number = refused["deliveries"][0]["number"]
    assert get(f"/deliveries/{number}")["response"] == '{"mode":"poison"}'
    assert client.get("/api/v1/deliveries/999999").status_code == 404

    found = get("/dead-letters?event=2")
    assert (found["number"], found["reasons"][0]["letters"]) == (1, 1)
    assert '"id":2' in get(f"/dead-letters/{found['letters'][0]['address']}")["event"]
    assert get("/events/2")["places"]["partner"]["kind"] == "partner.letter"

    counted = post("/delivery-redrives", why="mended", numbers=[str(number)])
    before = counted.pop("before")
    assert counted == {"dry_run": True, "requests": 1, "events": 1, "letters": 1, "failed": 0, "others": 0}
    assert int(before) > int(number)
    changed = post("/delivery-redrives", 409, why="x", before=before, counted=2, dry_run=False)
    assert "1 dead letters in place of 2" in changed["detail"]
    assert post("/delivery-redrives", why="x", before="1")["requests"] == 0
    assert post("/dead-letter-redrives", why="mended", event="2")["redriven"] == 1
    assert states(ours) == {2: "open"}
    assert client.post("/api/v1/delivery-redrives", json={"why": "x", "dry_run": False}).status_code == 401
    done = post("/delivery-redrives", why="mended", numbers=[str(number)], before=before, counted=1, dry_run=False)
    assert (done["letters"], done["others"]) == (1, 0)
    drain(forward.run, ours)
    assert states(ours) == {2: "redriven"}
    assert get("/events/2")["places"]["partner"]["state"] == "there"
    (change,) = changes(ours, "redrive")
    assert change.who.startswith("a program from")
    assert change.detail["numbers"] == [str(number)]

    sent = post("/test-deliveries", event="1")
    assert (sent["outcome"], sent["events"]) == ("delivered", [1])
    assert post("/test-deliveries", status=409, event="77")["detail"] == "The source has no event 77."
    assert post("/dead-letter-discards", why="x")["discarded"] == 0
