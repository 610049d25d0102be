"""What the API says in place of an answer: a problem as RFC 9457 has it, with a sentence for a person.

`Refusal` is what an operation raises. An `EngagementError` becomes a problem by itself: a server that does not answer
is 503, a setting at fault 500, anything else that a person has to look at 409.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, StreamStopped, Unavailable

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:engagement-platform:problem:"


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not answered (RFC 9457)."""

    type: Annotated[str, Meta(description="Names the kind of problem; stays the same.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(ge=400, le=599, description="The status of the response.")]
    detail: Annotated[str, Meta(description="What happened, as a sentence for a person.")]
    todo: Annotated[str, Meta(description="What to do about it; empty where nothing is to be done.")] = ""


class Refusal(Exception):
    """An operation cannot be done as it was asked for: status, kind, what happened, what to do."""

    def __init__(self, status: int, kind: str, what: str, todo: str = "") -> None:
        self.problem = Problem(_TYPE + kind, HTTPStatus(status).phrase, status, what, todo)
        super().__init__(what)


def problem_of(error: EngagementError) -> Problem:
    """Return what is said of an error that a person should read."""
    status, kind = next(_KINDS[one] for one in type(error).__mro__ if one in _KINDS)
    return Problem(_TYPE + kind, status.phrase, status.value, error.what, error.todo)


_KINDS: Mapping[type, tuple[HTTPStatus, str]] = {
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    Refused: (HTTPStatus.SERVICE_UNAVAILABLE, "refused"),
    StreamStopped: (HTTPStatus.SERVICE_UNAVAILABLE, "stopped"),
    SettingsError: (HTTPStatus.INTERNAL_SERVER_ERROR, "settings"),
    EngagementError: (HTTPStatus.CONFLICT, "conflict"),
}


def of_status(status: int, detail: str, todo: str = "") -> Problem:
    """Return a problem of which the status says everything."""
    known = HTTPStatus(status)
    return Problem(_TYPE + known.name.lower().replace("_", "-"), known.phrase, status, detail, todo)


def response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return a problem as a response. One that passes by itself says when to ask again."""
    waits = {"retry-after": "1"} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(
        msgspec.json.encode(problem),
        problem.status,
        {"cache-control": "no-store", **waits, **(headers or {})},
        MEDIA_TYPE,
    )


def own_fault() -> Problem:
    """Return what is said where the program is at fault; its log has the rest."""
    what = "The API has an error of its own."
    return of_status(500, what, "It is in the log of engagement-platform serve; the stream goes on.")


def unfit(error: msgspec.ValidationError, what: str) -> Refusal:
    """Return the refusal of what was asked with; `what` is parameter or field."""
    said, _, at = str(error).partition(" - at `$")
    name = at.strip("`").lstrip(".") or "the body"
    if said.startswith("Object contains unknown field"):
        sentence = f"There is no {what} {said.partition('`')[2].strip('`')}."
    elif said.startswith("Object missing required field"):
        sentence = f"The {what} {said.partition('`')[2].strip('`')} is missing."
    else:
        wanted = said.replace("Expected ", "it has to be ", 1).replace("`", "")
        sentence = f"The {what} {name} cannot be used: {wanted}."
    return Refusal(HTTPStatus.BAD_REQUEST, f"unfit-{what}", sentence, "/api/v1/openapi.json says what is asked for.")
