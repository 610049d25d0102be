"""A loop that somebody has paused."""

from engagement_platform.domain.conditions import Kind, Severity
from engagement_platform_tests.domain.judgement.standings import PAUSE, STREAMS, only, standing


def test_a_pause_is_said_with_who_and_why_and_not_as_a_promise_that_is_broken_by_accident() -> None:
    condition = only(standing(stage=STREAMS | {"lag": 5}, pauses={"stage": PAUSE}))
    assert (condition.kind, condition.severity) == (Kind.LOOP_PAUSED, Severity.WARNING)
    assert condition.what == "Stage is paused by me@here: BigQuery is full."
    assert condition.todo.endswith("engagement-platform resume stage")
    assert condition.since == PAUSE.since.timestamp()
