"""What the outcome of a request means: a table, and nothing else.

A refusal that any event would meet (credentials, address, redirect) is for a person to put right, and no event's fault;
one that only these events meet is theirs. Where it cannot be told, the request is tried again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from urllib.parse import urlsplit

_TOO_MANY_REQUESTS = 429
_TOO_EARLY = 425
_TIMEOUT = 408

AGAIN = frozenset({_TIMEOUT, _TOO_EARLY, _TOO_MANY_REQUESTS})
"""Client errors that pass by themselves."""

FOR_A_PERSON = {
    401: "it does not accept our credentials",
    403: "it forbids us to deliver",
    404: "there is nothing at this address",
    405: "it takes no POST at this address",
    407: "the proxy does not accept our credentials",
    410: "the address is gone for good",
}
"""Refusals that concern every event alike."""


class Verdict(Enum):
    """What becomes of the events of a request."""

    DELIVERED = "delivered"
    AGAIN = "again"
    """They are sent again, with the same keys."""
    REFUSED = "refused"
    """They are not wanted: an array is halved to find the event that is meant, a single one is a dead letter."""
    STOP = "stop"
    """Nothing can be delivered until a person has acted."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the partner is sent, but for the signature and what else is secret."""

    id: str
    """The header `webhook-id`."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the partner answered."""

    status: int
    retry_after: str | None = None
    location: str | None = None
    excerpt: str = ""
    """The beginning of the body, without secrets."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is no answer. The request may have arrived all the same."""

    reason: str
    for_a_person: bool = False
    """Trying again would not help: the partner's certificate is not one that we trust."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judged outcome."""

    verdict: Verdict
    reason: str = ""
    status: int | None = None
    response: str = ""
    retry_after: float | None = None
    """Seconds to wait, where the partner said so."""

    @property
    def is_alive(self) -> bool:
        """Whether somebody is there and works: refusing and asking for patience are signs of life, too."""
        return self.verdict is not Verdict.AGAIN or self.status in (_TOO_EARLY, _TOO_MANY_REQUESTS)


def judge(answer: Answer | NoAnswer, now: datetime) -> Outcome:
    """Say what an outcome means. `now` is what a Retry-After with a date is measured from."""
    if isinstance(answer, NoAnswer):
        return Outcome(Verdict.STOP if answer.for_a_person else Verdict.AGAIN, answer.reason)
    verdict, reason = _meaning(answer)
    wait = seconds_until(answer.retry_after, now) if verdict is Verdict.AGAIN else None
    return Outcome(verdict, reason, answer.status, answer.excerpt, wait)


def _meaning(answer: Answer) -> tuple[Verdict, str]:
    status = answer.status
    if 200 <= status < 300:
        return Verdict.DELIVERED, ""
    if 300 <= status < 400:
        return Verdict.STOP, f"status {status}: it points to {_origin(answer.location)}, and redirects are not followed"
    if status in FOR_A_PERSON:
        return Verdict.STOP, f"status {status}: {FOR_A_PERSON[status]}"
    if 400 <= status < 500 and status not in AGAIN:
        return Verdict.REFUSED, f"status {status}"
    return Verdict.AGAIN, f"status {status}"


def _origin(location: str | None) -> str:
    """Return where a redirect leads, without user, path and query: they may hold secrets."""
    try:
        parts = urlsplit(location or "")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that cannot be read"
    if host is None:
        return "another path of the same server" if location else "nowhere"
    return f"{parts.scheme or 'the same scheme'}://{host}{f':{port}' if port else ''}"


def seconds_until(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for; None where there is none, or nobody can read it."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())
