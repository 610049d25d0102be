"""The page Deliveries: the last requests to the partner beside its answers, a test, and a redrive after a dry run."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engagement_platform.adapters.platform.audit import Change
from engagement_platform.adapters.platform.deliveries import Count, DeliveryTable, Filter, Kept
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.serve import again
from engagement_platform.console.serve.again import Selection, Sent
from engagement_platform.console.serve.filters import DELIVERY_FIELDS, delivery_filter, event_in, given_in, only
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.security import form_of, lists_of
from engagement_platform.console.serve.site import Link, Site
from engagement_platform.console.serve.work import Once, changes, in_thread, recorded
from engagement_platform.domain.delivery.record import CLASSES, Became, Delivery
from engagement_platform.recovery.partner import send_one
from engagement_platform.settings import Settings

LINK = Link("/deliveries", "deliveries.link")
PER_PAGE = 50
_MOST_DIGITS = 10

_TONES = {
    Became.DELIVERED: "well",
    Became.AGAIN: "warning",
    Became.HALVED: "warning",
    Became.DEAD_LETTER: "critical",
    Became.REFUSED: "critical",
}
ACTIONS = ("redrive", "test_delivery")
"""What is done on this page, by the words of the record of changes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What the list shows."""

    deliveries: Sequence[Delivery]
    counts: Sequence[Count]
    kept: Kept
    changes: Sequence[Change]

    @property
    def requests(self) -> int:
        """How many requests are meant by the filter."""
        return sum(count.requests for count in self.counts)


def listed(settings: Settings, chosen: Filter, n: int = PER_PAGE) -> Listed:
    """Read a page of the list. Raises Unavailable."""
    ensure_schema(settings)
    with DeliveryTable.opened(settings, "page") as table:
        found = table.newest(chosen, n)
        counts, kept = table.counts(replace(chosen, before=None)), table.kept()
    return Listed(found, counts, kept, changes(settings, *ACTIONS))


def one_delivery(settings: Settings, number: int) -> Delivery | None:
    """Return a request by its number; None where it is not kept (any more). Raises Unavailable."""
    ensure_schema(settings)
    with DeliveryTable.opened(settings, "page") as table:
        return next(iter(table.newest(Filter(numbers=[number]), 1)), None)


def tested(settings: Settings, who: str, event_id: int | None) -> Delivery:
    """Send one event to the partner now, with its record; by default the last that it took. Raises as `send_one`."""
    subject = "the last event" if event_id is None else f"event {event_id}"
    with recorded(settings, who, "test_delivery", subject) as outcome:
        sent = send_one(settings, event_id, who)
        answer = sent.reason if sent.status is None else f"status {sent.status}"
        outcome.text = f"{sent.became.value}: {answer}"
        return sent


def redriven(
    settings: Settings,
    who: str,
    chosen: Filter,
    why: str,
    detail: Mapping[str, object],
    *,
    everything: bool,
    counted: int | None = None,
) -> tuple[Selection, Sent]:
    """Send the events of requests again, with their record, of which `detail` is a part. Raises as `again` does.

    With `counted` nothing is sent where there are not as many, by then: of events, or of letters.
    """
    selection = again.select(settings, chosen)
    if counted is not None:
        again.require_counted(selection, counted, everything=everything)
    subject = f"{len(selection.events) if everything else len(selection.letters)} events"
    kept = {**detail, "why": why, "everything": everything}
    with recorded(settings, who, "redrive", subject, **kept) as outcome:
        sent = again.send(settings, selection, who, why, everything=everything)
        outcome.text = f"{sent.letters} letters redriven, {sent.failed} cannot be, {sent.others} events sent"
        return selection, sent


class _Pages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._once = Once()

    async def show_list(self, request: Request) -> Response:
        settings, given = self._site.settings(request), given_in(request, *DELIVERY_FIELDS)
        chosen = delivery_filter(settings.stream, given, request.query_params.get("before", ""))
        page = await in_thread(settings, lambda: listed(settings, chosen))
        last = page.deliveries[-1].number if len(page.deliveries) == PER_PAGE else None
        return self._site.render(
            request,
            "deliveries.html",
            page=page,
            given=given,
            filtered=urlencode(given, doseq=True),
            next_page=last,
            tones=_TONES,
            outcomes=list(Became),
            classes=CLASSES,
            is_kept=settings.deliveries.kept == "on",
            has_partner=bool(settings.api.url.get_secret_value()),
        )

    async def show_one(self, request: Request) -> Response:
        settings, number = self._site.settings(request), int(request.path_params["number"])
        found = await in_thread(settings, lambda: one_delivery(settings, number))
        if found is None:
            raise PageRefusal(404, "no_request", number=number)
        return self._site.render(request, "delivery.html", one=found, tones=_TONES)

    async def test(self, request: Request) -> Response:
        actor, form = await self._site.guard.actor(request), await form_of(request)
        settings = self._site.settings(request)
        number = event_in(form.get("event", "").strip(), settings.stream)
        sent = await in_thread(settings, lambda: tested(settings, str(actor), number), changes=True)
        return self._site.render(request, "delivery.html", one=sent, tones=_TONES)

    async def count(self, request: Request) -> Response:
        """Show what a redrive of the selection would send. Changes nothing."""
        settings, given = self._site.settings(request), given_in(request, *DELIVERY_FIELDS)
        chosen = delivery_filter(settings.stream, given)
        selection = await in_thread(settings, lambda: again.select(settings, chosen))
        key = secrets.token_urlsafe(18)
        return self._site.render(request, "deliveries_again.html", given=given, selection=selection, key=key, sent=None)

    async def redrive(self, request: Request) -> Response:
        actor, form = await self._site.guard.actor(request), await form_of(request)
        settings = self._site.settings(request)
        lists = await lists_of(request)
        given = only({name: lists.get(name, []) for name in DELIVERY_FIELDS})
        everything, why = form.get("what") == "everything", form.get("why", "").strip()[:500]
        counted = form.get("events" if everything else "letters", "")
        if not form.get("before") or not (counted.isascii() and counted.isdigit() and len(counted) < _MOST_DIGITS):
            raise PageRefusal(400, "count_first")

        chosen, number = delivery_filter(settings.stream, given, form["before"]), int(counted)
        detail = {"filter": dict(given), "before": chosen.before}
        selection, sent = await self._once.answer(
            lists,
            lambda: in_thread(
                settings,
                lambda: redriven(settings, str(actor), chosen, why, detail, everything=everything, counted=number),
                changes=True,
            ),
        )
        return self._site.render(request, "deliveries_again.html", given=given, selection=selection, sent=sent)


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the routes of the page."""
    pages = _Pages(site)
    return [
        Route("/deliveries", pages.show_list),
        Route("/deliveries/test", pages.test, methods=["POST"]),
        Route("/deliveries/redrive", pages.count, methods=["GET"]),
        Route("/deliveries/redrive", pages.redrive, methods=["POST"]),
        Route("/deliveries/{number:int}", pages.show_one),
    ]
