"""Pauses a loop and lets it go on, as `engagement-platform pause` and `resume` do."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engagement_platform.adapters.platform.audit import Audit
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.console.serve.api.operation import PREFIX, Asked, OfStream, Operation, settings_of
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.settings import about
from engagement_platform.stream.registry import PAUSABLE, loop_named

Loop = Literal["relay", "tally", "stage", "forward"]
"""A test holds it against the registry."""


class LoopParameters(OfStream, frozen=True, kw_only=True):
    """A loop of a stream."""

    loop: Annotated[Loop, Meta(description="The relay is not paused by itself: it fills Kafka.")]


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody does it."""

    why: Annotated[str, Meta(max_length=500, pattern="^[^\\x00]*$", description="Shown wherever the pause is.")] = ""


class Paused(msgspec.Struct, frozen=True):
    """Whether a loop is paused now."""

    loop: str
    is_paused: bool
    changed: Annotated[bool, Meta(description="False where it was so before.")]
    words: str


def pause(asked: Asked[LoopParameters, Why]) -> Paused:
    """Pause a loop."""
    return _change(asked, pauses=True)


def resume(asked: Asked[LoopParameters, Why]) -> Paused:
    """End a pause."""
    return _change(asked, pauses=False)


def _change(asked: Asked[LoopParameters, Why], *, pauses: bool) -> Paused:
    loop, settings = asked.parameters.loop, settings_of(asked.site, asked.parameters.stream)
    if loop not in PAUSABLE:
        what = f"The loop {loop} is not paused by itself: it fills Kafka, from which every other one could catch up."
        raise Refusal(409, "not-pausable", what, f"{', '.join(PAUSABLE)} can be paused.")
    with about(settings.stream):
        ensure_schema(settings)
        with Session(settings, "page") as session:
            action = "pause" if pauses else "resume"
            with Audit(session).recorded(asked.who, action, loop, why=asked.body.why) as outcome:
                table = Pauses(session)
                changed = table.pause(loop, asked.who, asked.body.why) if pauses else table.resume(loop, asked.who)
                outcome.text = "done" if changed else "was so before"
    said = f"It is paused. {loop_named(loop).pause}" if pauses else "It goes on from where it stood."
    return Paused(loop, pauses, changed, said)


OPERATIONS = (
    Operation(
        "POST", f"{PREFIX}/loops/{{loop}}/pause", "pause_loop", "Let a loop stand still until it is resumed", Paused,
        pause, LoopParameters, Why, changes=True,
        refusals={409: "The relay is not paused by itself."},
    ),
    Operation(
        "POST", f"{PREFIX}/loops/{{loop}}/resume", "resume_loop", "Let a loop that was paused go on", Paused, resume,
        LoopParameters, Why, changes=True,
        refusals={409: "The relay is not paused by itself."},
    ),
)  # fmt: skip
