"""Every operation of the API, and the routes and the document that are made of them."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from engagement_platform.adapters.streams import stream_of as event_stream_of
from engagement_platform.console.serve.api import (
    changes,
    days,
    deliveries,
    latency,
    letters,
    loops,
    probes,
    status,
    top,
    trace,
)
from engagement_platform.console.serve.api.answering import of_http, routes_of
from engagement_platform.console.serve.api.openapi import document
from engagement_platform.console.serve.api.operation import PREFIX, Operation
from engagement_platform.domain.errors import EngagementError

if TYPE_CHECKING:
    from engagement_platform.console.serve.site import Site

OPERATIONS: Sequence[Operation] = (
    *top.OPERATIONS,
    *status.OPERATIONS,
    *latency.OPERATIONS,
    *days.OPERATIONS,
    *loops.OPERATIONS,
    *deliveries.OPERATIONS,
    *letters.OPERATIONS,
    *changes.OPERATIONS,
    *trace.OPERATIONS,
    *probes.OPERATIONS,
)


def routes(site: "Site") -> Sequence[BaseRoute]:
    """Return the routes. What begins with the prefix is an application of its own: its errors are problems."""

    @cache
    def written() -> bytes:
        return msgspec.json.encode(document(OPERATIONS, _examples(site)))

    async def openapi(_: Request) -> Response:
        return Response(written(), media_type="application/json")

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        return of_http(error)

    below = routes_of([one for one in OPERATIONS if one.path.startswith(PREFIX)], site, PREFIX)
    own = Starlette(
        routes=[*below, Route("/openapi.json", openapi)],
        exception_handlers={HTTPException: refused},
    )
    own.router.redirect_slashes = False
    others = routes_of([one for one in OPERATIONS if not one.path.startswith(PREFIX)], site, "")
    return [Mount(PREFIX, own), *others]


def _examples(site: "Site") -> dict[str, list[str]]:
    """Return what parameters can be here, so that a reader of the document has something to try."""
    usable = [settings for settings in site.streams.values() if not isinstance(settings, EngagementError)]
    views = [event_stream_of(settings).views for settings in usable]
    return {
        "stream": list(site.streams),
        "by": list(dict.fromkeys(one.name for each in views for one in each.dimensions)),
        "measure": list(dict.fromkeys(one.name for each in views for one in each.measures)),
    }
