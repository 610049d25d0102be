"""Why an event became a dead letter, in one of a few words: the reason itself is a text that may be any."""

import re
from enum import StrEnum

from engagement_platform.domain.dead_letters import DeadLetter


class Reason(StrEnum):
    """The word for a reason."""

    TOO_LARGE = "too_large"
    """The message would be larger than its topic takes."""
    UNFIT_TIME = "unfit_time"
    """Its time is one that no message can carry."""
    NOT_AN_EVENT = "not_an_event"
    """The message could not be read."""
    BAD_REQUEST = "status_400"
    UNPROCESSABLE = "status_422"
    CLIENT_ERROR = "status_4xx"
    """Another answer that says that the event is at fault."""
    SERVER_ERROR = "status_5xx"
    """It was tried until its time was over."""
    NO_ANSWER = "no_answer"
    """The same, without an answer."""
    NOT_A_LETTER = "not_a_letter"
    """Another program wrote to the topic."""
    OTHER = "other"


_TEXTS = (
    (re.compile("^too large:"), Reason.TOO_LARGE),
    (re.compile("RFC 3339 cannot carry it"), Reason.UNFIT_TIME),
    (re.compile("^not an event"), Reason.NOT_AN_EVENT),
    (re.compile("^not a dead letter"), Reason.NOT_A_LETTER),
)
_STATUSES = {400: Reason.BAD_REQUEST, 422: Reason.UNPROCESSABLE}


def reason_of(letter: DeadLetter) -> Reason:
    """Return the word for why an event became this letter."""
    if letter.status is not None:
        by_hundred = {4: Reason.CLIENT_ERROR, 5: Reason.SERVER_ERROR}.get(letter.status // 100, Reason.OTHER)
        return _STATUSES.get(letter.status, by_hundred)
    for text, reason in _TEXTS:
        if text.search(letter.reason):
            return reason
    return Reason.NO_ANSWER if letter.last_try is not None else Reason.OTHER
