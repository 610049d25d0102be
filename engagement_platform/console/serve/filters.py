"""Reads the filters of a page from its query, and writes them again for links and forms."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from starlette.requests import Request

from engagement_platform.adapters.platform.deliveries import Filter
from engagement_platform.console.serve.event import id_of
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.times import utc
from engagement_platform.domain.dead_letters import UNSETTLED, Chosen, DeadLetterState, address_of
from engagement_platform.domain.delivery.record import CLASSES, Became

_W = TypeVar("_W", Became, DeadLetterState)

Given = Mapping[str, Sequence[str]]
"""Name of a field -> its values, none of them empty."""


def given_in(request: Request, *names: str) -> Given:
    """Return the fields of a query that are not empty, of those that a page knows."""
    params = request.query_params
    return only({name: params.getlist(name) for name in names})


def only(fields: Mapping[str, Sequence[str]]) -> Given:
    """Return the fields without empty values, and without those that have no other."""
    kept = {name: [value.strip() for value in values if value.strip()] for name, values in fields.items()}
    return {name: values for name, values in kept.items() if values}


DELIVERY_FIELDS = ("outcome", "status", "since", "until", "event", "content", "number")


def delivery_filter(stream: str, given: Given, before: str = "") -> Filter:
    """Return which requests of a stream are meant. Raises HTTPException for what cannot be read."""
    return Filter(
        since=_time(given, "since"),
        until=_time(given, "until"),
        became=[_word(Became, value) for value in given.get("outcome", ())],
        classes=[_class(value) for value in given.get("status", ())],
        event_id=event_in(_one(given, "event"), stream),
        content=_one(given, "content"),
        numbers=[_number(value) for value in given.get("number", ())],
        before=_number(before) if before else None,
    )


LETTER_FIELDS = ("state", "source", "reason", "since", "until", "event", "address", "end")


def letter_filter(stream: str, given: Given) -> Chosen:
    """Return which letters of a stream are meant, by default those that wait for somebody. Raises HTTPException."""
    try:
        addresses = [address_of(text) for text in given.get("address", ())]
        ends = [address_of(text) for text in given.get("end", ())]
    except ValueError:
        texts = [*given.get("address", ()), *given.get("end", ())]
        raise PageRefusal(400, "no_address", text=", ".join(texts)[:100]) from None
    event_id = event_in(_one(given, "event"), stream)
    states = given.get("state", ())
    return Chosen(
        reason=_one(given, "reason"),
        sources=tuple(given.get("source", ())),
        since=_time(given, "since"),
        until=_time(given, "until"),
        event_ids=() if event_id is None else (event_id,),
        addresses=addresses,
        states=tuple(DeadLetterState) if "all" in states else [_word(DeadLetterState, s) for s in states] or UNSETTLED,
        ends=ends,
    )


def event_in(text: str, stream: str) -> int | None:
    """Return the event that a field names; None where it is empty. Raises HTTPException for one of another stream."""
    event_id = id_of(text, stream)
    if text and event_id is None:
        raise PageRefusal(400, "no_event", text=text[:100], stream=stream)
    return event_id


def _one(given: Given, name: str) -> str:
    return given[name][-1] if name in given else ""


def _time(given: Given, name: str) -> datetime | None:
    text = _one(given, name)
    try:
        return utc(text) if text else None
    except ValueError:
        raise PageRefusal(400, "no_time", text=text[:100]) from None


def _word(of: type[_W], value: str) -> _W:
    try:
        return of(value)
    except ValueError:
        raise PageRefusal(400, "none_of", text=value[:100], words=", ".join(one.value for one in of)) from None


def _class(value: str) -> str:
    if value not in CLASSES:
        raise PageRefusal(400, "none_of", text=value[:100], words=", ".join(CLASSES))
    return value


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise PageRefusal(400, "no_request_number", text=value[:100])
    return int(value)
