"""Dead letters, summed up."""

from datetime import UTC, datetime

from engagement_platform.domain import open_letters
from engagement_platform.domain.dead_letters import Action, Address, DeadLetter, DeadLetterState, Letter
from engagement_platform.domain.open_letters import OpenLetters, counted

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def letter(source: str, reason: str, *actions: Action, second: int = 0) -> Letter:
    content = DeadLetter(source=source, event_id=1, reason=reason, excerpt="", at=AT.replace(second=second))
    return Letter(Address(0, 0), content, actions)


REDRIVEN = Action("redrive", "me", "", AT, AT, "done", "")
BEGUN = Action("redrive", "me", "", AT, None, None, "")


def test_those_that_wait_for_somebody_are_told_by_source_with_the_oldest_and_the_most_frequent_reason() -> None:
    counts = counted(
        [
            letter("relay", "inf", second=9),
            letter("forward", "status 422", second=5),
            letter("forward", "status 413", second=3),
            letter("forward", "status 422", BEGUN, second=7),
            letter("forward", "status 400", REDRIVEN),
        ]
    )
    assert counts.open == (
        OpenLetters("forward", 3, AT.replace(second=3).timestamp(), "status 422"),
        OpenLetters("relay", 1, AT.replace(second=9).timestamp(), "inf"),
    )
    assert [counts.get(state) for state in DeadLetterState] == [3, 1, 1, 0]


def test_of_many_reasons_some_are_told_apart_and_all_letters_are_counted() -> None:
    number = open_letters._MOST_REASONS + 5
    (forward,) = counted(letter("forward", f"reason {n}" + "x" * 9_000) for n in range(number)).open
    assert forward.number == number
    assert len(forward.reason) <= open_letters._REASON_CHARACTERS
