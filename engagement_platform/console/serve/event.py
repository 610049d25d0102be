"""The page Event: where one event is, from its row to the partner."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.site import Link, Site, query
from engagement_platform.console.serve.texts import Texts
from engagement_platform.console.serve.trace_words import sentence
from engagement_platform.console.serve.work import in_thread
from engagement_platform.domain.signing import event_key
from engagement_platform.domain.trace.trace import Mark, Step, Trace
from engagement_platform.health.trace import trace

LINK = Link("/event", "event.link")

_TONES = {Mark.THERE: "well", Mark.WAITS: "warning", Mark.NOT_THERE: "idle", Mark.UNKNOWN: "unknown"}
_BAD = ("kafka.missing", "kafka.letter", "warehouse.missing", "warehouse.letter", "partner.letter")
"""What somebody has to look at."""
_HIGHEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Shown:
    """The verdict on a place, in the words of a page."""

    place: str
    tone: str
    word: str
    sentence: str
    notes: Sequence[str]


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the routes of the page."""

    async def search(request: Request) -> Response:
        asked = request.query_params.get("id", "").strip()
        if not asked:
            return site.render(request, "event.html", asked="", fault="", places=(), at="")
        here = site.stream(request)
        found = ((name, id_of(asked, name)) for name in (here, *site.streams))
        stream, number = next(((name, number) for name, number in found if number is not None), (here, None))
        if number is None:
            fault = site.texts(request)("event.no_id")
            return site.render(request, "event.html", 400, asked=asked[:100], fault=fault, places=(), at="")
        named = request.query_params.get("stream", "") if stream == here else stream
        return RedirectResponse(f"/event/{number}{query(stream=named)}", 303)

    async def show(request: Request) -> Response:
        number = id_of(request.path_params["event_id"], site.stream(request))
        if number is None:
            raise PageRefusal(404, "no_event_id")
        settings, texts = site.settings(request), site.texts(request)
        found = await in_thread(settings, lambda: trace(settings, number))
        return site.render(
            request,
            "event.html",
            asked=str(number),
            fault="",
            places=shown(found, texts),
            at=texts.isolated(texts.moment(found.at.timestamp())),
        )

    return [Route("/event", search), Route("/event/{event_id}", show)]


def id_of(text: str, stream: str) -> int | None:
    """Return the id in a text: a number, or the key of an event of the stream, such as engagement-event-4711.

    None for anything else: the same id of another stream is another event.
    """
    _, mark, behind = text.rpartition("-event-")
    digits = behind if mark else text
    sign, number = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    if not (number.isascii() and number.isdigit() and len(number) <= 19):
        return None
    found = int(sign + number)
    is_of_another = mark and text != event_key(stream, found)
    return found if -_HIGHEST <= found < _HIGHEST and not is_of_another else None


def shown(found: Trace, texts: Texts) -> Sequence[Shown]:
    """Return the verdicts of a trace in the language of some texts."""
    return [_shown(step, texts) for step in found.steps]


def _shown(step: Step, texts: Texts) -> Shown:
    return Shown(
        texts(f"event.place.{step.place.value}"),
        "critical" if step.said.kind in _BAD else _TONES[step.mark],
        texts(f"event.mark.{step.mark.name.lower()}"),
        sentence(texts, step.said),
        [sentence(texts, note) for note in step.notes],
    )
