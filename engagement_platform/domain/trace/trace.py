"""Where one event is: from what was read to a verdict for each place, with what is not known said as not known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Place(StrEnum):
    """Where an event can be, in the order in which it gets there."""

    SOURCE = "source"
    KAFKA = "kafka"
    REDIS = "redis"
    WAREHOUSE = "warehouse"
    PARTNER = "partner"


class Mark(StrEnum):
    """How an event stands in a place."""

    THERE = "there"
    NOT_THERE = "not there"
    WAITS = "waits"
    """It is not there yet, and comes by itself."""
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence: which it is, and what is filled in."""

    kind: str
    """The key of its text, but for the word `trace` in front."""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """The verdict on one place."""

    place: Place
    mark: Mark
    said: Said
    at: datetime | None = None
    """When it got there, where that is known."""
    notes: tuple[Said, ...] = ()
    """What is known besides, each as a sentence."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one event is."""

    stream: str
    event_id: int
    at: datetime
    """When it was looked at."""
    steps: tuple[Step, ...]

    def step(self, place: Place) -> Step:
        """Return the verdict on a place."""
        return next(step for step in self.steps if step.place is place)


def said(kind: str, **values: object) -> Said:
    """Return a sentence with its values as people read them."""
    return Said(kind, {name: _text(value) for name, value in values.items()})


def _text(value: object) -> str:
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1_000:03} UTC"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}"
    return str(value)


def to_object(trace: Trace, in_words: Callable[[Said], str]) -> dict[str, object]:
    """Return a trace as JSON has it: kinds and values for programs, sentences for people."""

    def said_object(one: Said) -> dict[str, object]:
        return {"kind": one.kind, "sentence": in_words(one), "values": dict(one.values)}

    return {
        "stream": trace.stream,
        "event_id": trace.event_id,
        "at": trace.at.isoformat(),
        "places": {
            step.place.value: {
                "state": step.mark.value,
                "at": None if step.at is None else step.at.isoformat(),
                **said_object(step.said),
                "notes": [said_object(note) for note in step.notes],
            }
            for step in trace.steps
        },
    }
