"""Puts the application together: each page's routes, the guard before them, and what an error looks like."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib import resources
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from engagement_platform.console.serve import days, deliveries, event, letters, metrics, now, sse
from engagement_platform.console.serve.api import table as api
from engagement_platform.console.serve.api.problem import problem_of
from engagement_platform.console.serve.outages import outage_alerts
from engagement_platform.console.serve.refusals import said
from engagement_platform.console.serve.refusals import title as title_of
from engagement_platform.console.serve.security import Guarded, form_of
from engagement_platform.console.serve.site import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Site
from engagement_platform.console.serve.texts import LANGUAGES, Texts
from engagement_platform.domain.errors import EngagementError

MODULES: tuple[ModuleType, ...] = (now, days, deliveries, letters, event, api, metrics, sse)
"""The pages, in the order of their links in the head."""

_YEAR = 365 * 86_400


def create_app(site: Site) -> Guarded:
    """Return the application. It reads from its start to its end. The guard stands before all, error pages among it."""

    @asynccontextmanager
    async def reading(_: Starlette) -> AsyncIterator[None]:
        site.sampler.start()
        alerts = outage_alerts(site.sampler, site.streams)
        if alerts is not None:
            alerts.start()
        yield
        if alerts is not None:
            alerts.stop()
        site.sampler.stop()

    routes = [route for module in MODULES for route in module.routes(site)]
    site.links[:] = [module.LINK for module in MODULES if hasattr(module, "LINK")]
    application = Starlette(
        routes=[*routes, *_common(site)],
        exception_handlers=Errors(site).handlers,
        lifespan=reading,
    )
    return Guarded(application, site.guard)


def _common(site: Site) -> list[Route | Mount]:
    async def log_in(request: Request) -> Response:
        if request.method != "POST":
            return site.render(request, "login.html", back=_own_path(request.query_params.get("back", "/")))
        back = _own_path((await form_of(request)).get("back", "/"))
        response = RedirectResponse(back, 303)
        try:
            await site.guard.log_in(request, response)
        except HTTPException as error:
            fault = said(error, site.texts(request))
            page = site.render(request, "login.html", error.status_code, fault=fault, back=back)
            page.headers.update(error.headers or {})
            return page
        return response

    async def log_out(request: Request) -> Response:
        response = RedirectResponse("/", 303)
        await site.guard.log_out(request, response)
        return response

    async def choose(request: Request) -> Response:
        """Keep a language or a theme in a cookie, and go back."""
        response = RedirectResponse(_own_path(request.query_params.get("back", "/")), 303)
        for name, cookie, known in (("language", LANGUAGE_COOKIE, LANGUAGES), ("theme", THEME_COOKIE, THEMES)):
            if (value := request.query_params.get(name)) in known:
                response.set_cookie(cookie, str(value), max_age=_YEAR, samesite="lax", path="/")
        return response

    return [
        Route("/login", log_in, methods=["GET", "POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Route("/choose", choose),
        Mount("/static", StaticFiles(directory=str(resources.files(__package__) / "static"))),
    ]


def _own_path(path: str) -> str:
    """Return a path of this site; `/` for what leads to another one."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


class Errors:
    """What an error looks like: JSON to a program, a page to a person."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def handlers(self) -> dict[Any, Callable[[Request, Any], Response]]:
        """Return what handles which error."""
        return {HTTPException: self._refused, EngagementError: self._failed, 500: self._broken}

    def _refused(self, request: Request, error: HTTPException) -> Response:
        texts = self._texts(request)
        is_missing = error.status_code == HTTPStatus.NOT_FOUND and error.detail == HTTPStatus.NOT_FOUND.phrase
        what = texts("refusals.said.nothing_here") if is_missing else said(error, texts)
        answer = self._said(request, error.status_code, what)
        answer.headers.update(error.headers or {})
        return answer

    def _failed(self, request: Request, error: EngagementError) -> Response:
        return self._said(request, problem_of(error).status, error.what, error.todo)

    def _broken(self, request: Request, _: Exception) -> Response:
        texts = self._texts(request)
        what, todo = texts("refusals.said.own_error"), texts("refusals.said.own_error_todo")
        return self._said(request, HTTPStatus.INTERNAL_SERVER_ERROR, what, todo)

    def _texts(self, request: Request) -> Texts:
        """Return the texts of the reader's language; programs read English."""
        return self._site.texts(request) if _is_a_person(request) else Texts(next(iter(LANGUAGES)))

    def _said(self, request: Request, status: int, what: str, todo: str = "") -> Response:
        if not _is_a_person(request):
            return JSONResponse({"error": {"status": status, "what": what, "todo": todo}}, status)
        title = title_of(status, HTTPStatus(status).phrase, self._site.texts(request))
        return self._site.render(request, "error.html", status, title=title, code=int(status), what=what, todo=todo)


def _is_a_person(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
