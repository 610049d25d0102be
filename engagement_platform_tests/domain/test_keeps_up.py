"""What the checks of the loops say: red where a promise is broken, amber where somebody has to act, else green."""

from dataclasses import replace

import pytest

from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.keeps_up import is_as_promised, keeps_up
from engagement_platform.domain.latency import ENOUGH_EVENTS, Histogram

STILL = Condition(
    Kind.LOOP_STANDS_STILL,
    Severity.CRITICAL,
    "engagement",
    "Redis at localhost:6379",
    1_800_000_000.0,
    "Tally waits for Redis at localhost:6379.",
    "The views stand still.",
    "See that it runs.",
    loops=("tally",),
)
LETTERS = Condition(Kind.DEAD_LETTERS, Severity.WARNING, "engagement", "forward", 0.0, "3 dead letters are open.")


def test_without_conditions_all_loops_keep_up() -> None:
    outcome = keeps_up(("tally",), [])
    assert outcome.passed
    assert not outcome.is_severe


def test_a_loop_that_stands_still_is_red_with_since_when_and_what_to_do_and_the_others_are_green() -> None:
    outcome = keeps_up(("tally",), [STILL, LETTERS])
    assert not outcome.passed
    assert outcome.is_severe
    assert outcome.said == (
        "Since 2027-01-15 08:00:00 UTC: Tally waits for Redis at localhost:6379. The views stand still. "
        "See that it runs."
    )
    assert keeps_up(("relay",), [STILL, LETTERS]).passed
    assert not keeps_up(("relay", "tally"), [STILL]).passed


def test_letters_of_a_loop_are_amber_at_that_loop() -> None:
    outcome = keeps_up(("forward",), [LETTERS])
    assert not outcome.passed
    assert not outcome.is_severe
    assert keeps_up(("stage",), [LETTERS]).passed


def test_what_nobody_can_read_concerns_every_loop() -> None:
    away = Condition(Kind.UNREADABLE, Severity.CRITICAL, "engagement", "", 0.0, "The database does not answer.")
    assert all(keeps_up((loop,), [away]).is_severe for loop in ("relay", "tally", "stage", "forward"))


@pytest.mark.parametrize("kind", [Kind.RUN_FAILED, Kind.CHECK_FAILED, Kind.BACKFILL_FAILED, Kind.DAEMON_SILENT])
def test_what_is_about_no_loop_turns_none_red(kind: Kind) -> None:
    other = Condition(kind, Severity.CRITICAL, "engagement", "settle_day", 0.0, "It failed.")
    assert keeps_up(("relay", "tally", "stage", "forward"), [other]).passed


def test_figures_within_a_sentence_are_no_news_and_another_reason_is() -> None:
    before = keeps_up(("tally",), [STILL])
    assert before.is_about_the_same(keeps_up(("tally",), [replace(STILL, means="12 events wait.")]))
    assert not before.is_about_the_same(keeps_up(("tally",), [replace(STILL, subject="Kafka")]))
    assert not before.is_about_the_same(keeps_up(("tally",), [replace(STILL, severity=Severity.WARNING)]))
    assert not before.is_about_the_same(keeps_up(("tally",), []))


def test_the_slowest_hundredth_decides_whether_a_latency_is_as_promised() -> None:
    histogram = Histogram()
    histogram.add(0.02, 990)
    histogram.add(60.0, 10)
    assert is_as_promised(histogram.present(), 5.0).passed
    histogram.add(60.0, 10)
    late = is_as_promised(histogram.present(), 5.0)
    assert not late.passed
    assert not late.is_severe, "at this moment the promise may be kept: keeps_up says that"
    assert "promised are 5 s" in late.said


def test_of_few_events_nothing_is_told() -> None:
    histogram = Histogram()
    histogram.add(60.0, ENOUGH_EVENTS - 1)
    assert is_as_promised(histogram.present(), 5.0).passed
    histogram.add(60.0)
    assert not is_as_promised(histogram.present(), 5.0).passed
