from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Verdict, judge, seconds_until

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((200, 201, 202, 204, 299), Verdict.DELIVERED),
        ((408, 425, 429, 500, 502, 503, 504, 599, 100), Verdict.AGAIN),
        ((400, 406, 409, 413, 415, 422, 451), Verdict.REFUSED),
        ((301, 302, 307, 308, 401, 403, 404, 405, 407, 410), Verdict.STOP),
    ],
)
def test_what_a_status_means(statuses: tuple[int, ...], verdict: Verdict) -> None:
    assert {judge(Answer(status), NOW).verdict for status in statuses} == {verdict}


@given(st.integers(-1, 10_000), st.none() | st.text(), st.none() | st.text(), st.text())
def test_every_answer_means_something(status: int, retry_after: str | None, location: str | None, text: str) -> None:
    outcome = judge(Answer(status, retry_after, location, text), NOW)
    assert (outcome.verdict is Verdict.DELIVERED) == (200 <= status < 300)
    assert outcome.is_alive or outcome.verdict is Verdict.AGAIN
    assert outcome.verdict is Verdict.DELIVERED or str(status) in outcome.reason


def test_no_answer_is_tried_again_unless_a_person_must_act() -> None:
    assert judge(NoAnswer("closed"), NOW).verdict is Verdict.AGAIN
    assert not judge(NoAnswer("closed"), NOW).is_alive
    assert judge(NoAnswer("its certificate has expired", for_a_person=True), NOW).verdict is Verdict.STOP


@pytest.mark.parametrize(("status", "alive"), [(429, True), (425, True), (408, False), (500, False), (503, False)])
def test_whoever_asks_for_patience_is_alive(status: int, alive: bool) -> None:
    assert judge(Answer(status), NOW).is_alive is alive


def test_a_redirect_tells_where_to_and_no_secret() -> None:
    found = judge(Answer(302, location="https://user:hunter2@other.example:8443/hunter2?token=hunter2#hunter2"), NOW)
    assert "https://other.example:8443," in found.reason
    assert "hunter2" not in found.reason
    assert "same server" in judge(Answer(307, location="/login?next=hunter2"), NOW).reason
    assert "cannot be read" in judge(Answer(307, location="http://[hunter2"), NOW).reason
    assert "nowhere" in judge(Answer(304), NOW).reason


@given(st.integers(0, 10**9 - 1))
def test_seconds_to_wait(seconds: int) -> None:
    assert seconds_until(f" {seconds} ", NOW) == seconds


@given(st.integers(-100_000, 100_000))
def test_a_date_to_wait_for(seconds: int) -> None:
    assert seconds_until(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True), NOW) == max(0, seconds)


@given(st.text())
def test_what_nobody_can_read_is_no_time(text: str) -> None:
    found = seconds_until(text, NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize("text", [None, "", "soon", "-5", "1.5", "\u0665", "Thu, 99 Foo 2026"])
def test_these_are_no_times(text: str | None) -> None:
    assert seconds_until(text, NOW) is None
