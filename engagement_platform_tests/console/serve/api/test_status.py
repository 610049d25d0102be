"""What the API says of how the streams stand, over samples; and that the page says the same."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from engagement_platform.console.serve.api.status import summary_of
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sample
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.domain.conditions import Severity, is_well, promises_kept
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.leases import Lease
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.status import Summary
from engagement_platform.health.read import Status
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.api.samples import condition, sample, status
from engagement_platform_tests.console.serve.conftest import HOME, HTML, NOWHERE, Still, StillSampler

PAUSE = Pause("stage", datetime(2026, 3, 1, tzinfo=UTC), "me@here", "BigQuery is full")


def test_a_stream_that_is_well(still: Still) -> None:
    told = still(sample()).get("/api/v1/status").json()
    assert told["well"]
    assert told["sentence"].startswith("All well.")
    (stream,) = told["streams"]
    assert (stream["name"], stream["well"], stream["readable"]) == ("engagement", True, True)
    assert (stream["lease"]["run_id"], stream["lease"]["epoch"]) == ("abc", 7)
    assert stream["dead_letters"] == {"open": 2, "redriving": 0, "redriven": 0, "discarded": 0}
    assert [(loop["loop"], loop["destination"]) for loop in stream["loops"]] == [
        (loop.name, loop.destination) for loop in LOOPS
    ]
    tally = stream["loops"][NAMES.index("tally")]
    assert (tally["state"], tally["events"], tally["lag"], tally["is_paused"]) == ("streams", 1_234, 5, False)
    assert tally["events_per_second"] == 12.5
    assert tally["promise_seconds"] == 5.0
    assert tally["p50_seconds"] == pytest.approx(0.02, rel=0.06)


def test_a_stream_that_cannot_be_read_says_why(still: Still) -> None:
    broken = EngagementError("The platform database does not answer.", "Start it.")
    told = still(sample(condition(), engagement=broken)).get("/api/v1/status").json()
    (stream,) = told["streams"]
    assert (told["well"], stream["well"], stream["readable"]) == (False, False, False)
    assert "The platform database does not answer." in stream["sentence"]
    assert (stream["loops"], stream["lease"], stream["dead_letters"]) == ([], None, None)


def test_letters_that_nobody_can_count_are_not_none(still: Still) -> None:
    told = still(sample(engagement=status(letters="Kafka does not answer."))).get("/api/v1/status").json()
    assert told["streams"][0]["dead_letters"] is None


def test_a_pause_is_said(still: Still) -> None:
    loops = still(sample(engagement=status([PAUSE]))).get("/api/v1/status").json()["streams"][0]["loops"]
    stage = loops[NAMES.index("stage")]
    assert stage["is_paused"]
    assert "BigQuery is full" in stage["words"]


def test_one_of_several_streams_can_be_asked_for(still: Still) -> None:
    client = still(sample(condition("orders"), engagement=status(), orders=status([PAUSE])))
    told = client.get("/api/v1/status").json()
    assert [(one["name"], one["well"]) for one in told["streams"]] == [("engagement", True), ("orders", False)]
    assert (told["well"], client.get("/api/v1/status?stream=engagement").json()["well"]) == (False, True)
    assert client.get("/api/v1/status?stream=orders").json()["well"] is False
    missing = client.get("/api/v1/status?stream=visits")
    assert missing.status_code == 404
    assert missing.json()["detail"] == "There is no stream visits."
    assert missing.json()["todo"] == "There are: engagement, orders."


def test_conditions_are_those_of_the_sample_in_its_order(still: Still) -> None:
    client = still(sample(condition("orders"), condition(""), condition("engagement", Severity.WARNING)))
    told = client.get("/api/v1/conditions").json()["conditions"]
    assert [(one["stream"], one["severity"]) for one in told] == [
        ("orders", "critical"), ("", "critical"), ("engagement", "warning"),
    ]  # fmt: skip
    assert told[0] == {
        "kind": "breaker_open",
        "severity": "critical",
        "stream": "orders",
        "subject": "forward",
        "since": "1970-01-01T00:16:40Z",
        "what": "The partner refuses the events of orders.",
        "means": "Nothing is lost.",
        "todo": "Ask them.",
        "page": "/deliveries",
    }
    of_stream = client.get("/api/v1/conditions?stream=engagement").json()["conditions"]
    assert [one["stream"] for one in of_stream] == ["", "engagement"], "what concerns all concerns this one, too"


@pytest.mark.parametrize("wrong", [(), (condition(),), (condition("", Severity.WARNING),)])
def test_api_and_page_agree_on_whether_all_is_well(still: Still, wrong: tuple[object, ...]) -> None:
    shown = sample(*wrong)  # type: ignore[arg-type]
    client = still(shown)
    told, page = client.get("/api/v1/status").json(), client.get("/", headers=HTML).text
    assert told["well"] == told["streams"][0]["well"] == (not wrong)
    assert ('class="sentence well"' in page or "All well" in page) == told["well"]


@pytest.mark.parametrize("state", [*states.STATES, "rests"])
def test_what_is_well_and_whether_promises_are_kept_is_one_thing_everywhere(still: Still, state: str) -> None:
    shown = states.rests() if state == "rests" else states.STATES[state]()
    client = still(shown)
    told, page = client.get("/api/v1/status").json(), client.get("/", headers=HTML).text
    assert ('<div class="sentence well"' in page) == told["well"] == is_well(shown.conditions)
    assert (client.get("/healthz/stream").status_code == 200) == promises_kept(shown.conditions)
    status = shown.streams["engagement"].status
    if isinstance(status, Status) and not status.pauses and state != "rests":
        assert status.summary.well == promises_kept(shown.conditions)


def test_each_shard_is_told_with_who_has_it(still: Still) -> None:
    (told,) = still(states.a_shard_is_left()).get("/api/v1/status").json()["streams"]
    assert [(one["shard"], one["streams"], one["lease"]["epoch"]) for one in told["shards"]] == [
        (0, True, 42), (1, False, 42),
    ]  # fmt: skip
    assert not told["well"]
    (whole,) = still(states.well()).get("/api/v1/status").json()["streams"]
    assert whole["shards"] == []


def test_latency_is_that_of_the_sample_as_far_back_as_was_asked(still: Still) -> None:
    shown = sample()
    client = still(shown)
    told = client.get("/api/v1/latency").json()
    tally = told["loops"][NAMES.index("tally")]
    assert [(one["p50_seconds"], one["p99_seconds"], one["events_per_second"]) for one in tally["moments"]] == [
        (0.02, 0.05, 12.5)
    ] * 3
    assert (tally["destination"], tally["promise_seconds"]) == ("redis", 5.0)
    relay = told["loops"][NAMES.index("relay")]
    assert [one["p50_seconds"] for one in relay["moments"]] == [None] * 3
    for minutes, count in ((1, 1), (11, 2), (60, 3)):
        some = client.get(f"/api/v1/latency?minutes={minutes}").json()["loops"][1]["moments"]
        assert len(some) == count


def test_hand_overs_are_those_of_the_sample(still: Still) -> None:
    shown = sample()
    stream = shown.streams["engagement"]
    at = datetime(2026, 3, 1, tzinfo=UTC)
    leases = [Lease(epoch, f"run-{epoch}", at, at, None, NAMES) for epoch in (8, 7)]
    told = (
        still(replace(shown, streams={"engagement": replace(stream, leases=leases)})).get("/api/v1/hand-overs").json()
    )
    assert [(one["epoch"], one["run_id"]) for one in told["hand_overs"]] == [(8, "run-8"), (7, "run-7")]
    assert told["hand_overs"][0]["claimed_at"] == "2026-03-01T00:00:00Z"


def test_an_answer_is_made_once_for_each_sample_and_each_question(
    still: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    original = summary_of

    def counting(*what: Any) -> Summary:
        nonlocal asked
        asked += 1
        return original(*what)

    monkeypatch.setattr("engagement_platform.console.serve.api.status.summary_of", counting)
    shown = sample(engagement=status(), orders=status())
    sampler = StillSampler(shown)
    site = Site(dict.fromkeys(shown.streams, NOWHERE), sampler, Guard(None))
    with TestClient(create_app(site), base_url=HOME) as client:
        for _ in range(3):
            assert len(client.get("/api/v1/status").json()["streams"]) == 2
            assert len(client.get("/api/v1/status?stream=orders").json()["streams"]) == 1
        assert asked == 3
        sampler.show(sample(condition("orders"), engagement=status(), orders=status()))
        assert client.get("/api/v1/status").json()["well"] is False
        assert asked == 5


def probes(client_sample: Sample, still: Still) -> dict[str, int]:
    client = still(client_sample)
    return {path: client.get(path).status_code for path in ("/livez", "/readyz", "/healthz/stream")}


def test_a_process_that_reads_is_alive_and_ready_whatever_it_has_read(still: Still) -> None:
    unreadable = EngagementError("The platform database does not answer.")
    assert probes(sample(), still) == {"/livez": 200, "/readyz": 200, "/healthz/stream": 200}
    assert probes(sample(condition(), engagement=unreadable), still) == {
        "/livez": 200, "/readyz": 200, "/healthz/stream": 503,
    }  # fmt: skip


def test_a_process_that_has_read_nothing_is_not_ready_and_one_that_reads_no_more_does_not_live(still: Still) -> None:
    assert probes(sample(number=0), still) == {"/livez": 200, "/readyz": 503, "/healthz/stream": 503}
    assert probes(sample(age=40), still) == {"/livez": 200, "/readyz": 503, "/healthz/stream": 503}
    assert probes(sample(age=70), still) == {"/livez": 503, "/readyz": 503, "/healthz/stream": 503}
    detail = still(sample(age=70)).get("/livez").json()
    assert detail["detail"] == "This process has read nothing for 70 s."


def test_the_stream_fails_by_what_is_critical_alone_and_says_what(still: Still) -> None:
    warned = still(sample(condition(severity=Severity.WARNING))).get("/healthz/stream")
    assert (warned.status_code, len(warned.json()["warnings"])) == (200, 1)
    failing = still(sample(condition("orders"), condition("visits"), engagement=status(), orders=status()))
    said = failing.get("/healthz/stream").json()
    assert said["detail"] == "The partner refuses the events of orders. And 1 more: /api/v1/conditions."
    assert said["todo"] == "Ask them."
    assert failing.get("/healthz/stream?stream=engagement").status_code == 200
    assert failing.get("/healthz/stream?stream=orders").status_code == 503


def test_the_age_of_what_was_read_is_told(still: Still) -> None:
    told = still(sample(age=3)).get("/readyz").json()
    assert 3 <= told["age_seconds"] < 60
    assert datetime.fromisoformat(told["as_of"]).timestamp() < time.time() - 2
