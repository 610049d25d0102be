"""Dead letters that wait for somebody."""

from engagement_platform.domain.conditions import Severity
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.open_letters import LetterCounts, OpenLetters
from engagement_platform_tests.domain.judgement.standings import AT, standing


def test_open_letters_are_a_condition_for_each_source() -> None:
    letters = LetterCounts(open=(OpenLetters("forward", 2, AT - 9, "status 422."), OpenLetters("relay", 1, AT, "inf")))
    forward, relay = conditions_of(standing(letters=letters))
    assert forward.what == "2 dead letters of forward are open; most often: status 422."
    assert relay.what == "1 dead letter of relay is open; most often: inf."
    assert (forward.severity, forward.since, forward.page) == (Severity.WARNING, AT - 9, "/dead-letters")
    assert "the partner has not got them" in forward.means
