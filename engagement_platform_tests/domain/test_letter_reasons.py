"""Each reason for a dead letter has a word, and none is left out that the program gives."""

from datetime import UTC, datetime

import pytest

from engagement_platform.domain.dead_letters import DeadLetter
from engagement_platform.domain.letter_reasons import Reason, reason_of
from engagement_platform.domain.messages import fault
from engagement_platform.domain.open_letters import counted

AT = datetime(2026, 11, 27, tzinfo=UTC)


def letter(reason: str, status: int | None = None, tried: datetime | None = None) -> DeadLetter:
    return DeadLetter(
        source="forward", event_id=1, reason=reason, excerpt="", at=AT, status=status, first_try=tried, last_try=tried
    )


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (letter(fault(10, 5, True, "event_ts") or ""), Reason.TOO_LARGE),
        (letter(fault(1, 5, False, "event_ts") or ""), Reason.UNFIT_TIME),
        (letter("not an event: its id is out of range"), Reason.NOT_AN_EVENT),
        (letter("status 400", 400, AT), Reason.BAD_REQUEST),
        (letter("status 422", 422, AT), Reason.UNPROCESSABLE),
        (letter("status 409", 409, AT), Reason.CLIENT_ERROR),
        (letter("status 503", 503, AT), Reason.SERVER_ERROR),
        (letter("no answer within 10 s", None, AT), Reason.NO_ANSWER),
        (letter("not a dead letter: x"), Reason.NOT_A_LETTER),
        (letter("something new"), Reason.OTHER),
        (letter("status 302", 302, AT), Reason.OTHER),
    ],
)
def test_the_word_for_a_reason(told: DeadLetter, word: Reason) -> None:
    assert reason_of(told) is word


def test_there_is_nothing_to_count_without_letters() -> None:
    assert counted([]).by_reason == {}
