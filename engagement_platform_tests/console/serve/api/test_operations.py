"""What is true of every operation: errors are problems, parameters are held to their types, changes need the token."""

import re

import msgspec
import pytest
from starlette.testclient import TestClient

from engagement_platform.console.serve.api import loops, table
from engagement_platform.console.serve.api.answering import LARGEST_BODY, parameters_of
from engagement_platform.console.serve.api.openapi import document
from engagement_platform.console.serve.api.operation import Operation
from engagement_platform.console.serve.api.problem import Problem, Refusal, problem_of
from engagement_platform.console.serve.api.status import OPERATIONS as STATUS
from engagement_platform.console.serve.api.table import OPERATIONS
from engagement_platform.console.serve.api.top import TopParameters
from engagement_platform.console.serve.security import HEADERS, Guard
from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, StreamStopped, Unavailable
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.console.serve.api.samples import sample
from engagement_platform_tests.console.serve.conftest import TOKEN, Still

BEARER = {"authorization": f"Bearer {TOKEN}"}
FIT: dict[str, object] = {
    "start_backfill": {"days": ["2026-03-01"]},
    "pause_loop": {"why": "x"},
    "resume_loop": {},
    "test_delivery": {},
    "redrive_deliveries": {"why": "x"},
    "redrive_dead_letters": {"why": "x"},
    "discard_dead_letters": {"why": "x"},
}
"""A body for each change that says something."""
CHANGES = [one for one in OPERATIONS if one.name in FIT]


def ask(client: TestClient, operation: Operation, **how: object) -> Problem:
    """Ask for an operation, with something in the place of what is in braces; return the problem."""
    filled = {"id": "0" * 16, "loop": "tally", "event_id": "5", "number": "5", "address": "0:5"}
    path = operation.path.format(**filled)
    answer = client.request(operation.method, path, **how)  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "application/problem+json"
    assert HEADERS.items() <= dict(answer.headers).items()
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.status == answer.status_code
    return problem


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_a_parameter_that_there_is_not_is_refused_by_name(operation: Operation, still: Still) -> None:
    problem = ask(still(sample()), operation, params={"limitt": "3"}, headers=BEARER)
    assert (problem.status, problem.detail) == (400, "There is no parameter limitt.")


@pytest.mark.parametrize("operation", CHANGES, ids=lambda one: one.name)
def test_a_change_needs_the_token(operation: Operation, still: Still) -> None:
    assert ask(still(sample()), operation, json={}).status == 401
    problem = ask(still(sample(), Guard(None)), operation, json={}, headers=BEARER)
    assert (problem.status, "ENGAGEMENT_PAGE_TOKEN" in problem.detail) == (403, True)


@pytest.mark.parametrize("operation", CHANGES, ids=lambda one: one.name)
def test_a_body_that_cannot_be_read_is_refused(operation: Operation, still: Still) -> None:
    client = still(sample())
    assert ask(client, operation, content=b"{", headers=BEARER).detail.startswith("The body is not JSON")
    assert ask(client, operation, json=[], headers=BEARER).status == 400
    assert ask(client, operation, json={"nonsense": 1}, headers=BEARER).detail == "There is no field nonsense."
    assert ask(client, operation, content=b" " * (LARGEST_BODY + 1), headers=BEARER).status == 413


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.keyed], ids=lambda one: one.name)
def test_a_key_that_is_not_fit_is_refused(operation: Operation, still: Still) -> None:
    key = BEARER | {"idempotency-key": "x" * 101}
    assert "Idempotency-Key" in ask(still(sample()), operation, json=FIT[operation.name], headers=key).detail


def test_the_document_is_made_once(still: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def noted(*how: object) -> object:
        made.append(how)
        return document(*how)  # type: ignore[arg-type]

    monkeypatch.setattr(table, "document", noted)
    client = still(sample())
    first, second = client.get("/api/v1/openapi.json"), client.get("/api/v1/openapi.json")
    assert first.json()["openapi"] == "3.1.0"
    assert (second.content, len(made)) == (first.content, 1)


def test_a_path_with_two_methods_names_both(still: Still) -> None:
    answer = still(sample()).put("/api/v1/backfills")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_the_relay_is_not_paused(still: Still) -> None:
    answer = still(sample()).post("/api/v1/loops/relay/pause", json={}, headers=BEARER)
    assert (answer.status_code, answer.json()["todo"]) == (409, "forward, stage, tally can be paused.")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/v1/status/"])
def test_what_there_is_not_is_a_problem(path: str, still: Still) -> None:
    answer = still(sample()).get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "There is nothing at this address."


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/top", "/api/v1/openapi.json"])
def test_another_method_is_refused_with_those_that_there_are(path: str, still: Still) -> None:
    answer = still(sample()).delete(path)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["allow"]


def test_an_error_of_the_programs_own_says_nothing_of_its_inside(
    still: Still, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = still(sample())
    monkeypatch.setattr("engagement_platform.console.serve.api.status.time_of", lambda _: 1 / 0)
    problem = ask(client, STATUS[0])
    assert problem.status == 500
    assert "division" not in problem.detail
    assert "division by zero" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("Redis does not answer."), 503), (Refused("Redis refuses."), 503), (StreamStopped("Stop."), 503),
        (SettingsError("A setting."), 500), (EngagementError("No."), 409),
    ],
)  # fmt: skip
def test_an_error_for_people_is_a_problem_with_its_words(error: EngagementError, status: int) -> None:
    assert (problem_of(error).status, problem_of(error).detail) == (status, error.what)


@pytest.mark.parametrize(
    ("pairs", "detail"),
    [
        ([], "The parameter by is missing."),
        ([("by", "content"), ("by", "device")], "The parameter by is there twice."),
        ([("by", "content"), ("limit", "0")], "The parameter limit cannot be used: it has to be int >= 1."),
        ([("by", "content"), ("limit", "ten")], "The parameter limit cannot be used: it has to be int, got str."),
        ([("by", "Content")], "The parameter by cannot be used: it has to be str matching regex"),
        ([("by", "content"), ("window", "ten minutes")], "The parameter window cannot be used: it has to be str match"),
    ],
)
def test_what_is_wrong_with_a_parameter_is_said(pairs: list[tuple[str, str]], detail: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parameters_of(TopParameters, pairs)
    assert refusal.value.problem.detail.startswith(detail)


def test_the_loops_are_those_of_the_registry() -> None:
    assert loops.Loop.__args__ == NAMES  # type: ignore[attr-defined]


def test_every_operation_has_a_name_of_its_own_a_description_and_described_statuses() -> None:
    names = [one.name for one in OPERATIONS]
    assert len(set(names)) == len(names)
    written = document(OPERATIONS, {})
    for path, methods in written["paths"].items():
        for operation in methods.values():
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            assert operation["summary"]
            assert all(answer["description"] for answer in operation["responses"].values())
            assert all(one["description"] or one["name"] == "measure" for one in operation["parameters"])


def test_all_schemas_are_described_and_none_is_unused() -> None:
    written = document(OPERATIONS, {})
    schemas = written["components"]["schemas"]
    used = set(re.findall("#/components/schemas/(\\w+)", msgspec.json.encode(written).decode()))
    assert used == schemas.keys()
    assert [name for name, schema in schemas.items() if not schema.get("description") and "enum" not in schema] == []


def test_the_document_is_served_with_what_can_be_asked_for_here(still: Still) -> None:
    served = still(sample()).get("/api/v1/openapi.json").json()
    assert served["openapi"] == "3.1.0"
    top = served["paths"]["/api/v1/top"]["get"]
    assert [*next(one for one in top["parameters"] if one["name"] == "by")["examples"]] == [
        "content", "content_type", "device",
    ]  # fmt: skip


def test_who_may_not_read_or_asks_by_a_strange_name_gets_a_problem_too(still: Still) -> None:
    guarded = still(sample(), Guard(TOKEN, open_to_readers=False))
    assert ask(guarded, STATUS[0]).detail == "Send the token."
    wrong = ask(guarded, STATUS[0], headers={"authorization": "Bearer nonsense"})
    assert (wrong.status, wrong.detail) == (401, "This is not the token.")
    assert guarded.get("/api/v1/status", headers=BEARER).status_code == 200
    assert ask(still(sample()), STATUS[0], headers={"host": "evil.example"}).status == 421
