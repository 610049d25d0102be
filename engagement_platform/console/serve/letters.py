"""The page Dead letters: which events were given up and why, and what is done about them, after a dry run."""

import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engagement_platform.adapters.platform.audit import Change
from engagement_platform.console.serve.filters import LETTER_FIELDS, given_in, letter_filter, only
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.security import form_of, lists_of
from engagement_platform.console.serve.site import Link, Site
from engagement_platform.console.serve.work import Once, changes, in_thread, recorded
from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import Redriven, discard, redrive
from engagement_platform.domain.dead_letters import NO_EVENT, Address, Chosen, DeadLetterState, Letter, address_of
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import LOOPS

LINK = Link("/dead-letters", "letters.link")
SHOWN = 100
_MOST_REASONS = 50
ACTIONS = ("redrive", "discard")
SOURCES = tuple(loop.name for loop in LOOPS if loop.lacking)
_TONES = {
    DeadLetterState.OPEN: "critical",
    DeadLetterState.REDRIVING: "warning",
    DeadLetterState.REDRIVEN: "well",
    DeadLetterState.DISCARDED: "idle",
}


@dataclass
class Reason:
    """Letters of one source with one reason, in one state."""

    source: str
    reason: str
    state: DeadLetterState
    number: int = 0
    example: Address | None = None
    """The newest of them."""


@dataclass
class Listed:
    """What the list shows."""

    number: int = 0
    """How many letters are meant."""
    newest: Sequence[Letter] = ()
    """Without their events."""
    reasons: Sequence[Reason] = ()
    """The most frequent ones."""
    changes: Sequence[Change] = ()


def listed(settings: Settings, chosen: Chosen, n: int = SHOWN) -> Listed:
    """Read the chosen letters, of which the newest are shown. Raises Unavailable."""
    newest: deque[Letter] = deque(maxlen=n)
    reasons: dict[tuple[str, str, DeadLetterState], Reason] = {}
    number = 0
    with dead_letters_of(settings) as letters:
        for number, letter in enumerate(letters.chosen(chosen), 1):  # noqa: B007
            newest.append(_without_event(letter))
            key = letter.content.source, letter.content.reason[:200], letter.state
            one = reasons.setdefault(key, Reason(*key))
            one.number, one.example = one.number + 1, letter.address
    most = sorted(reasons.values(), key=lambda one: -one.number)[:_MOST_REASONS]
    return Listed(number, list(reversed(newest)), most, changes(settings, *ACTIONS))


def _without_event(letter: Letter) -> Letter:
    return Letter(letter.address, msgspec.structs.replace(letter.content, event=NO_EVENT), letter.actions)


def ends_of(settings: Settings) -> list[Address]:
    """Return of each partition the address behind the last letter that is there now. Raises Unavailable."""
    with dead_letters_of(settings) as letters:
        return letters.ends()


def one_letter(settings: Settings, address: Address) -> Letter | None:
    """Return the letter of an address; None where none lies there. Raises Unavailable."""
    with dead_letters_of(settings) as letters:
        return next(letters.chosen(Chosen(addresses=[address])), None)


@dataclass
class Tried:
    """What a redrive did, or would do."""

    done: int = 0
    failed: int = 0
    notes: Counter[tuple[bool, str]] = field(default_factory=Counter)
    """Whether it could be done, and what was done or why not -> how many letters."""

    def tell(self, some: Sequence[Redriven]) -> None:
        """Take in what is told of some letters."""
        self.notes.update((one.done, one.note) for one in some)


def tried(settings: Settings, chosen: Chosen, who: str, why: str, *, dry_run: bool) -> Tried:
    """Redrive letters, or say what that would do. Raises as `redrive` does."""
    told = Tried()
    told.done, told.failed = redrive(settings, chosen, who, why, told.tell, dry_run=dry_run)
    return told


def redriven(settings: Settings, who: str, chosen: Chosen, why: str, detail: Mapping[str, object]) -> Tried:
    """Redrive letters, with the record of it, of which `detail` is a part. Raises as `redrive` does."""
    with recorded(settings, who, "redrive", "dead letters", **{**detail, "why": why}) as outcome:
        told = tried(settings, chosen, who, why, dry_run=False)
        outcome.text = f"{told.done} letters redriven, {told.failed} cannot be"
        return told


def discarded(settings: Settings, who: str, chosen: Chosen, why: str, detail: Mapping[str, object]) -> int:
    """Settle letters without sending them, with the record of it; return how many. Raises as `discard` does."""
    with recorded(settings, who, "discard", "dead letters", **{**detail, "why": why}) as outcome:
        with dead_letters_of(settings) as letters:
            meant, topic_id = [_without_event(letter) for letter in letters.chosen(chosen)], letters.topic_id
        number = len(discard(settings, meant, topic_id, who, why))
        outcome.text = f"{number} letters discarded"
        return number


class _Pages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._once = Once()

    async def show_list(self, request: Request) -> Response:
        settings, given = self._site.settings(request), given_in(request, *LETTER_FIELDS)
        chosen = letter_filter(settings.stream, given)
        page = await in_thread(settings, lambda: listed(settings, chosen))
        return self._site.render(
            request,
            "letters.html",
            page=page,
            given=given,
            filtered=urlencode(given, doseq=True),
            tones=_TONES,
            states=list(DeadLetterState),
            sources=SOURCES,
        )

    async def show_one(self, request: Request) -> Response:
        settings = self._site.settings(request)
        try:
            address = address_of(request.path_params["address"])
        except ValueError:
            raise PageRefusal(404, "no_address", text=request.path_params["address"][:100]) from None
        letter = await in_thread(settings, lambda: one_letter(settings, address))
        if letter is None:
            raise PageRefusal(404, "no_letter", address=address)
        return self._site.render(request, "letter.html", letter=letter, event=_event(letter), tones=_TONES)

    async def count(self, request: Request, kind: str) -> Response:
        """Show what a redrive, or a discard, of the selection would do. Changes nothing."""
        settings = self._site.settings(request)
        given = given_in(request, *LETTER_FIELDS)
        if "ticked" in request.query_params and "address" not in given:
            raise PageRefusal(400, "none_ticked")
        chosen = letter_filter(settings.stream, given)
        if not chosen.addresses:
            ends = await in_thread(settings, lambda: ends_of(settings))
            given = {**given, "end": [str(end) for end in ends]}
            chosen = letter_filter(settings.stream, given)
        shown: dict[str, Any] = {"act": kind, "given": given, "key": secrets.token_urlsafe(18), "done": None}
        if kind == "redrive":
            told = await in_thread(settings, lambda: tried(settings, chosen, "", "", dry_run=True))
            return self._site.render(request, "letters_act.html", **shown, told=told, page=None)
        page = await in_thread(settings, lambda: listed(settings, chosen))
        return self._site.render(request, "letters_act.html", **shown, told=None, page=page)

    async def act(self, request: Request, kind: str) -> Response:
        actor, form, lists = await self._site.guard.actor(request), await form_of(request), await lists_of(request)
        settings = self._site.settings(request)
        given, why = only({name: lists.get(name, []) for name in LETTER_FIELDS}), form.get("why", "").strip()[:500]
        if "end" not in given and "address" not in given:
            raise PageRefusal(400, "count_first")
        if not why:
            raise PageRefusal(400, "say_why")
        chosen = letter_filter(settings.stream, given)

        who, detail = str(actor), {"filter": dict(given)}
        told = None
        sent = {**lists, "act": [kind]}
        if kind == "redrive":
            told = await self._once.answer(
                sent, lambda: in_thread(settings, lambda: redriven(settings, who, chosen, why, detail), changes=True)
            )
            number = told.done
        else:
            number = await self._once.answer(
                sent, lambda: in_thread(settings, lambda: discarded(settings, who, chosen, why, detail), changes=True)
            )
        return self._site.render(request, "letters_act.html", act=kind, given=given, told=told, page=None, done=number)


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the routes of the page."""
    pages = _Pages(site)
    return [
        Route("/dead-letters", pages.show_list),
        *(Route(f"/dead-letters/{kind}", _of(kind, pages.count), methods=["GET"]) for kind in ACTIONS),
        *(Route(f"/dead-letters/{kind}", _of(kind, pages.act), methods=["POST"]) for kind in ACTIONS),
        Route("/dead-letters/{address}", pages.show_one),
    ]


def _of(kind: str, handler: Callable[[Request, str], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def of_kind(request: Request) -> Response:
        return await handler(request, kind)

    return of_kind


def _event(letter: Letter) -> str:
    """Return the event of a letter as people read it; empty where the letter has none."""
    value = bytes(letter.content.event)
    if letter.content.event == NO_EVENT:
        return ""
    with suppress(RecursionError, msgspec.MsgspecError):  # else as it stands
        value = msgspec.json.format(value, indent=2)
    return value.decode("utf-8", "replace")
