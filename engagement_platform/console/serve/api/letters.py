"""Dead letters: which events were given up and why; sending them again, and discarding them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engagement_platform.console.serve.api.operation import (
    PREFIX,
    Asked,
    OfStream,
    Operation,
    Parameters,
    StreamName,
    settings_of,
)
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.console.serve.api.times import EventText, Time, moment_of, number_of, told
from engagement_platform.console.serve.api.trace import EventId
from engagement_platform.console.serve.letters import discarded, listed, one_letter, redriven, tried
from engagement_platform.domain.dead_letters import NO_EVENT, UNSETTLED, Chosen, DeadLetterState, Letter, address_of
from engagement_platform.settings import about

State = Literal["open", "redriving", "redriven", "discarded"]
LetterAddress = Annotated[
    str, Meta(pattern="^[0-9]{1,9}:[0-9]{1,18}$", description="Where it lies: partition:offset.", examples=["0:17"])
]
Text = Annotated[str, Meta(max_length=500, pattern="^[^\\x00]*$")]
Why = Annotated[str, Meta(min_length=1, max_length=500, pattern="^[^\\x00]*$", description="For the record.")]
MOST = 500


class LettersParameters(OfStream, frozen=True, kw_only=True):
    """Which letters are meant: those for which everything holds that is given."""

    state: Annotated[State | UnsetType, Meta(description="By default those that wait for somebody.")] = UNSET
    source: Annotated[Text, Meta(description="The loop that gave the event up.")] = ""
    reason: Annotated[Text, Meta(description="A part of the reason.")] = ""
    since: Time | UnsetType = UNSET
    until: Annotated[Time | UnsetType, Meta(description="The time before which they were written.")] = UNSET
    event: EventId | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many are listed, at most.")] = 100


class ActionNow(msgspec.Struct, frozen=True):
    """What somebody has done with a letter."""

    kind: str
    who: str
    why: str
    begun_at: datetime
    ended_at: datetime | None
    outcome: str | None
    note: str


class LetterNow(msgspec.Struct, frozen=True):
    """One letter, without its event."""

    address: str
    state: State
    source: str
    event_id: int | None
    reason: str
    at: datetime
    status: Annotated[int | None, Meta(description="Of the partner's last answer.")]
    response: Annotated[str | None, Meta(description="The beginning of that answer: the partner's text.")]
    key: str | None
    actions: list[ActionNow]


class ReasonNow(msgspec.Struct, frozen=True):
    """Letters of one source with one reason, in one state."""

    source: str
    reason: str
    state: State
    letters: int
    example: Annotated[str, Meta(description="The address of the newest of them.")]


class LettersNow(msgspec.Struct, frozen=True):
    """The newest of the letters that are meant, the newest first."""

    stream: str
    number: Annotated[int, Meta(description="How many letters are meant.")]
    reasons: Annotated[list[ReasonNow], Meta(description="The most frequent ones.")]
    letters: list[LetterNow]


class LetterParameters(OfStream, frozen=True, kw_only=True):
    """One letter."""

    address: LetterAddress


class WholeLetter(msgspec.Struct, frozen=True):
    """One letter with its event."""

    letter: LetterNow
    event: Annotated[str | None, Meta(description="The event as JSON text, to the digit; null where it has none.")]
    excerpt: str


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Letters that something is to be done with; without `dry_run: false` it is only said what that would be."""

    why: Why
    stream: StreamName | None = None
    addresses: Annotated[list[LetterAddress], Meta(max_length=MOST)] = []
    source: Text = ""
    reason: Text = ""
    since: Time | None = None
    until: Time | None = None
    event: EventText | None = None
    dry_run: bool = True


class LettersAgain(Wanted, frozen=True, kw_only=True):
    """Letters that are to be sent again; without `dry_run: false` it is only said what that would be."""

    again: Annotated[bool, Meta(description="Also those that were redriven or discarded before.")] = False


class LettersSettled(Wanted, frozen=True, kw_only=True):
    """Letters that nobody needs; without `dry_run: false` they are counted only."""


class NoteNow(msgspec.Struct, frozen=True):
    """What is done with some letters, or why nothing is."""

    can_be: bool
    note: str
    letters: int


class RedrivenNow(msgspec.Struct, frozen=True):
    """What was done, or would be."""

    dry_run: bool
    redriven: int
    failed: Annotated[int, Meta(description="Those that stay open.")]
    notes: list[NoteNow]


class DiscardedNow(msgspec.Struct, frozen=True):
    """What was done, or would be."""

    dry_run: bool
    discarded: int


def letters(asked: Asked[LettersParameters, None]) -> LettersNow:
    """Return the newest letters."""
    given = asked.parameters
    settings = settings_of(asked.site, given.stream)
    state, event = told(given.state), told(given.event)
    states = UNSETTLED if state is None else [DeadLetterState(state)]
    since, until = moment_of(told(given.since)), moment_of(told(given.until))
    chosen = Chosen(given.reason, _one(given.source), since, until, _one(event), (), states)
    with about(settings.stream):
        page = listed(settings, chosen, given.limit)
    reasons = [ReasonNow(one.source, one.reason, one.state.value, one.number, str(one.example)) for one in page.reasons]
    return LettersNow(settings.stream, page.number, reasons, [_letter(one) for one in page.newest])


def _one(value: Any) -> tuple[Any, ...]:
    return () if value in (None, "") else (value,)


def _letter(letter: Letter) -> LetterNow:
    content = letter.content
    actions = [
        ActionNow(one.kind, one.who, one.why, one.begun_at, one.ended_at, one.outcome, one.note)
        for one in letter.actions
    ]
    return LetterNow(
        str(letter.address), letter.state.value, content.source, content.event_id, content.reason, content.at,
        content.status, content.response, content.key, actions,
    )  # fmt: skip


def letter(asked: Asked[LetterParameters, None]) -> WholeLetter:
    """Return one letter."""
    settings = settings_of(asked.site, asked.parameters.stream)
    with about(settings.stream):
        found = one_letter(settings, address_of(asked.parameters.address))
    if found is None:
        raise Refusal(404, "no-letter", f"No letter lies at {asked.parameters.address}.")
    event = found.content.event
    text = None if event == NO_EVENT else bytes(event).decode("utf-8", "replace")
    return WholeLetter(_letter(found), text, found.content.excerpt)


def _chosen(wanted: Wanted, *, again: bool = False) -> Chosen:
    return Chosen(
        wanted.reason,
        _one(wanted.source),
        moment_of(wanted.since),
        moment_of(wanted.until),
        _one(number_of(wanted.event)),
        [address_of(text) for text in wanted.addresses],
        tuple(DeadLetterState) if again else UNSETTLED,
    )


def redrive(asked: Asked[Parameters, LettersAgain]) -> RedrivenNow:
    """Send letters again, or say what that would do."""
    wanted, settings = asked.body, settings_of(asked.site, asked.body.stream)
    chosen = _chosen(wanted, again=wanted.again)
    with about(settings.stream):
        if wanted.dry_run:
            told = tried(settings, chosen, "", "", dry_run=True)
        else:
            told = redriven(settings, asked.who, chosen, wanted.why, msgspec.to_builtins(wanted))
    notes = [NoteNow(can_be, note, number) for (can_be, note), number in told.notes.most_common(MOST)]
    return RedrivenNow(wanted.dry_run, told.done, told.failed, notes)


def discard(asked: Asked[Parameters, LettersSettled]) -> DiscardedNow:
    """Settle letters without sending them, or count them."""
    wanted, settings = asked.body, settings_of(asked.site, asked.body.stream)
    chosen = _chosen(wanted)
    with about(settings.stream):
        if wanted.dry_run:
            return DiscardedNow(True, listed(settings, chosen, 1).number)
        return DiscardedNow(False, discarded(settings, asked.who, chosen, wanted.why, msgspec.to_builtins(wanted)))


_REFUSALS = {404: "There is no such stream.", 409: "Somebody else redrives or discards letters at this moment."}

OPERATIONS = (
    Operation(
        "GET", f"{PREFIX}/dead-letters", "dead_letters", "Events that were given up, by reason", LettersNow, letters,
        LettersParameters,
    ),
    Operation(
        "GET", f"{PREFIX}/dead-letters/{{address}}", "dead_letter", "One dead letter with its event", WholeLetter,
        letter, LetterParameters, refusals={404: "No letter lies there, or there is no such stream."},
    ),
    Operation(
        "POST", f"{PREFIX}/dead-letter-redrives", "redrive_dead_letters",
        "Send dead letters again, or say what that would do", RedrivenNow, redrive, body=LettersAgain, changes=True,
        refusals=_REFUSALS,
    ),
    Operation(
        "POST", f"{PREFIX}/dead-letter-discards", "discard_dead_letters", "Settle dead letters without sending them",
        DiscardedNow, discard, body=LettersSettled, changes=True, refusals=_REFUSALS,
    ),
)  # fmt: skip
