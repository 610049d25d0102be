"""A partner that is down or takes nothing."""

from datetime import timedelta
from typing import Any

from engagement_platform.domain.conditions import Kind
from engagement_platform.domain.judgement.partner import PARTNER
from engagement_platform.stream.forward import standstill
from engagement_platform_tests.domain.judgement.standings import AT, NOW, only, standing


def partner(kind: str, reason: str, *, subject: str = PARTNER, breaker: str = "open") -> dict[str, Any]:
    state = {"kind": kind, "since": AT - 1200, "subject": subject, "reason": reason, "remedy": "Ask the partner."}
    return {"lag": 12_261, "breaker": breaker, "state": state}


def test_forward_names_the_partner_as_it_is_looked_for() -> None:
    assert PARTNER == standstill._PARTNER


def test_an_open_breaker_has_the_last_answer_and_says_when_events_are_given_up() -> None:
    settled = NOW - timedelta(minutes=21)
    condition = only(standing(forward=partner("waits", "status 503"), settled_to=settled, retry_seconds=300.0))
    assert condition.key == ("engagement", "breaker_open", "forward")
    assert condition.what == "The partner's API is down; it answered last: status 503."
    assert "12,261 events wait in Kafka; nothing is lost" in condition.means
    assert "each has 300 s of tries, and time in which the partner is down does not count" in condition.means
    assert "2026-03-01 11:39:00 UTC" in condition.means


def test_a_partner_that_refuses_everything_has_its_answer_and_the_remedy() -> None:
    said = "The partner's API takes none of the events: status 422."
    for kind, subject in (("refused", PARTNER), ("stopped", "")):
        condition = only(standing(forward=partner(kind, said, subject=subject)))
        assert (condition.kind, condition.what, condition.todo) == (Kind.BREAKER_OPEN, said, "Ask the partner.")


def test_a_forward_that_waits_for_kafka_is_no_partner_that_is_down() -> None:
    condition = only(standing(forward=partner("waits", "refused", subject="Kafka at h:1")))
    assert (condition.kind, condition.subject) == (Kind.LOOP_STANDS_STILL, "Kafka at h:1")
