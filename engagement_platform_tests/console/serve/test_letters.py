"""The page Dead letters over real servers: reasons, examples, redrive and discard with their record."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from engagement_platform.console.serve.site import Site
from engagement_platform.console.serve.work import changes
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.console.serve.conftest import HTML, log_in
from engagement_platform_tests.dead_letters.support import bury, letter, states
from engagement_platform_tests.streaming import drain

Get = Callable[..., str]


@pytest.fixture
def get(client: TestClient) -> Get:
    def get(path: str, status: int = 200) -> str:
        answer = client.get(path, headers=HTML)
        assert answer.status_code == status, answer.text
        return unescape(re.sub(r"\s+", " ", answer.text))

    return get


@pytest.fixture
def receiver() -> Any:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def ours(settings: Settings, site: Site, receiver: Receiver) -> Settings:
    made = settings.replace(api_url=SecretStr(receiver.url), forward_group=f"forward-{settings.topics.events}")
    site.streams[made.stream] = made  # type: ignore[index]
    return made


def test_letters_are_counted_by_reason_with_an_example_and_narrowed(ours: Settings, get: Get) -> None:
    bury(ours, [letter(1), letter(2), letter(3, "stage", reason="not an event"), letter(4, reason="<b>x</b>")])
    page = get("/dead-letters")
    assert "4 letters are meant" in page
    assert 'href="/dead-letters/0:1"' in page
    assert 'href="/event/3"' in page
    for filters, number in (
        ("source=stage", 1), ("reason=422", 2), ("event=3", 1), ("state=redriven", 0), ("state=all", 4),
        ("since=2999-01-01", 0), ("address=0:0&address=0:2", 2),
    ):  # fmt: skip
        assert f"{number} letters are meant" in get(f"/dead-letters?{filters}"), filters
    for wrong in ("state=x", "address=x", "event=x", "since=x"):
        get(f"/dead-letters?{wrong}", 400)


def test_one_letter_is_shown_with_its_event_and_as_text(ours: Settings, client: TestClient, get: Get) -> None:
    bury(ours, [letter(1, response="<script>x</script>", status=422), letter(2, keeps=False)])
    assert '"engagement_pct": null' in get("/dead-letters/0:0")
    assert "<script>x" not in client.get("/dead-letters/0:0", headers=HTML).text
    assert "The letter has no event" in get("/dead-letters/0:1")
    get("/dead-letters/0:9", 404)
    get("/dead-letters/x", 404)


def test_a_redrive_is_counted_confirmed_carried_out_and_recorded(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    bury(ours, [letter(1), letter(2), letter(3, "tally")])
    counted = get("/dead-letters/redrive?source=forward&source=tally")
    assert "2 can be redriven, 1 cannot." in counted
    assert "there is no redrive for letters of tally" in counted
    assert set(states(ours).values()) == {"open"}
    form = {"address": ["0:0"], "why": "mended"}
    assert client.post("/dead-letters/redrive", data=form).status_code == 401
    token = log_in(client, "ana")
    assert client.post("/dead-letters/redrive", data=form | {"form_token": "x"}).status_code == 403
    assert client.post("/dead-letters/redrive", data={"why": "x", "form_token": token}).status_code == 400
    assert client.post("/dead-letters/redrive", data={"address": "0:0", "form_token": token}).status_code == 400
    done = client.post("/dead-letters/redrive", data=form | {"form_token": token}, headers=HTML)
    assert "1 letters are redriven." in done.text
    assert states(ours) == {1: "redriven", 2: "open", 3: "open"}
    drain(forward.run, ours)
    assert [each.key for each in receiver.deliveries] == ["engagement-event-1"]
    (change,) = changes(ours, "redrive")
    assert (change.detail["filter"], change.detail["why"]) == ({"address": ["0:0"]}, "mended")
    assert change.outcome == "1 letters redriven, 0 cannot be"
    shown = get("/dead-letters/0:0")
    assert "ana from" in shown
    assert "mended" in shown


def test_a_discard_is_counted_confirmed_and_recorded_and_nothing_is_sent(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    bury(ours, [letter(1), letter(2)])
    token = log_in(client)
    counted = get("/dead-letters/discard?event=1")
    assert "1 letters would be discarded." in counted
    assert re.findall(r'name="end" value="([^"]+)"', counted) == ["0:2"]
    form = {"event": "1", "end": "0:2", "why": "test data", "form_token": token}
    assert "1 letters are discarded." in client.post("/dead-letters/discard", data=form, headers=HTML).text
    assert states(ours) == {1: "discarded", 2: "open"}
    drain(forward.run, ours)
    assert receiver.deliveries == []
    assert [change.outcome for change in changes(ours, "discard")] == ["1 letters discarded"]
    assert "There is nothing to do." in get("/dead-letters/discard?event=1")
    assert "No letter is ticked." in get("/dead-letters/discard?ticked=1", 400)


def test_letters_that_come_after_the_dry_run_are_not_meant_whatever_their_clock_says(
    ours: Settings, client: TestClient, get: Get
) -> None:
    bury(ours, [letter(1)])
    token = log_in(client)
    assert "1 can be redriven, 0 cannot." in get("/dead-letters/redrive")
    counted = get("/dead-letters/redrive")
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', counted)) | {"why": "mended"}
    bury(ours, [letter(2, at=datetime(2026, 1, 1, tzinfo=UTC))])
    assert "1 letters are redriven." in client.post("/dead-letters/redrive", data=form, headers=HTML).text
    assert states(ours) == {1: "redriven", 2: "open"}
    assert form["form_token"] == token


def test_a_form_that_is_sent_twice_is_carried_out_once(
    ours: Settings, receiver: Receiver, client: TestClient, get: Get
) -> None:
    bury(ours, [letter(1)])
    log_in(client)
    counted = get("/dead-letters/redrive?state=all")
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)"', counted)) | {"why": "mended"}
    for _ in range(2):
        assert "1 letters are redriven." in client.post("/dead-letters/redrive", data=form, headers=HTML).text
    drain(forward.run, ours)
    assert [each.key for each in receiver.deliveries] == ["engagement-event-1"]
    assert len(changes(ours, "redrive")) == 1
