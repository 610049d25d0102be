"""Where one event is: from its row to the partner, as `engagement-platform trace` says it."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engagement_platform.console.serve.api.operation import PREFIX, Asked, OfStream, Operation, settings_of
from engagement_platform.console.serve.trace_words import english
from engagement_platform.domain.trace.trace import Said, Step
from engagement_platform.health import trace as tracing
from engagement_platform.settings import about

EventId = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1, description="The event's id in the source.")]
State = Literal["there", "not there", "waits", "not known"]
"""The marks of `domain.trace`; a test holds them against it."""


class EventParameters(OfStream, frozen=True, kw_only=True):
    """One event of a stream."""

    event_id: EventId


class Sentence(msgspec.Struct, frozen=True):
    """What is known besides."""

    kind: Annotated[str, Meta(description="Names what is said; stays the same.")]
    sentence: str
    values: Annotated[dict[str, str], Meta(description="What is filled in.")]


class PlaceNow(msgspec.Struct, frozen=True):
    """How the event stands in one place."""

    state: Annotated[State, Meta(description="`waits`: it comes by itself. `not known`: a server did not tell.")]
    at: Annotated[datetime | None, Meta(description="When it got there, where that is known.")]
    kind: Annotated[str, Meta(description="Names what is said; stays the same.")]
    sentence: str
    values: Annotated[dict[str, str], Meta(description="What is filled in.")]
    notes: list[Sentence]


class Places(msgspec.Struct, frozen=True):
    """The places of an event, in the order in which it gets there."""

    source: PlaceNow
    kafka: PlaceNow
    redis: PlaceNow
    warehouse: PlaceNow
    partner: PlaceNow


class EventTrace(msgspec.Struct, frozen=True):
    """Where one event is."""

    stream: str
    event_id: int
    at: Annotated[datetime, Meta(description="When it was looked at.")]
    places: Places


def trace(asked: Asked[EventParameters, None]) -> EventTrace:
    """Trace an event."""
    settings = settings_of(asked.site, asked.parameters.stream)
    with about(settings.stream):
        found = tracing.trace(settings, asked.parameters.event_id)
    places = {step.place.value: _place(step) for step in found.steps}
    return EventTrace(found.stream, found.event_id, found.at, Places(**places))


def _place(step: Step) -> PlaceNow:
    state: State = step.mark.value
    one = _sentence(step.said)
    return PlaceNow(state, step.at, one.kind, one.sentence, one.values, [_sentence(note) for note in step.notes])


def _sentence(said: Said) -> Sentence:
    return Sentence(said.kind, english(said), dict(said.values))


OPERATIONS = (
    Operation(
        "GET", f"{PREFIX}/events/{{event_id}}", "trace_event", "Where one event is, and if not, why not", EventTrace,
        trace, EventParameters,
    ),
)  # fmt: skip
