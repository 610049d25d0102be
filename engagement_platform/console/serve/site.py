"""What the pages share: the latest sample, the guard, the texts, and how a template becomes an answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urlencode

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute

from engagement_platform import __version__
from engagement_platform.console.serve import change_words
from engagement_platform.console.serve.backfills import Backfills
from engagement_platform.console.serve.calendars import Calendars, Read, formulas_of
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.sampler import Sampler
from engagement_platform.console.serve.security import Guard, here_of, login_of
from engagement_platform.console.serve.texts import LANGUAGES, Texts, chosen
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_names import GROUPS
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES

LANGUAGE_COOKIE, THEME_COOKIE = "engagement_language", "engagement_theme"
THEMES = ("auto", "light", "dark")


class Module(Protocol):
    """What the module of a page has: `routes`, and `LINK` where the head of every page leads to it."""

    def routes(self, site: "Site") -> Sequence[BaseRoute]:
        """Return its routes."""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in the head of every page."""

    path: str
    text: str
    """Key of its text."""


@dataclass
class Site:
    """What handlers share. One for each process."""

    streams: Mapping[str, Settings | EngagementError]
    """Name -> its settings, or why they cannot be used."""
    sampler: Sampler
    guard: Guard
    dagster_url: str = ""
    """Where Dagster's own pages are; empty where nobody said it."""
    calendars: Calendars = field(default_factory=Calendars)
    """The days of the warehouse."""
    backfills: Backfills = field(default_factory=Backfills)
    """Those that were asked for here."""
    links: list[Link] = field(default_factory=list)
    is_closing: Callable[[], bool] = lambda: False
    """Says whether the process ends: an answer that lasts has to end, too."""

    def texts(self, request: HTTPConnection) -> Texts:
        """Return the texts in the language of a request: as chosen, else as the browser accepts."""
        return chosen(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))

    def stream(self, request: HTTPConnection) -> str:
        """Return the stream that a request is about: `?stream=`, or the first. Raises HTTPException, 404."""
        name = request.query_params.get("stream") or next(iter(self.streams))
        if name not in self.streams:
            raise PageRefusal(404, "no_stream", name=name[:40], names=", ".join(self.streams))
        return name

    def settings(self, request: HTTPConnection) -> Settings:
        """Return the settings of that stream. Raises EngagementError where they cannot be used."""
        return self.settings_of(self.stream(request))

    def settings_of(self, stream: str) -> Settings:
        """Return the settings of a stream that there is. Raises EngagementError where they cannot be used."""
        settings = self.streams[stream]
        if isinstance(settings, EngagementError):
            raise settings
        return settings

    def days(self, settings: Settings, first: date, last: date) -> Read:
        """Return days of the warehouse, with what the latest sample has of Dagster. Raises Unavailable."""
        formulas = formulas_of(self.sampler.look().dagster, settings.stream)
        return self.calendars.read(settings, first, last, formulas)

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page: a template over `base.html`, with what every page has beside `values`."""
        texts = self.texts(request)
        session = self.guard.session(request)
        theme = request.cookies.get(THEME_COOKIE, "auto")
        every = {
            "path": request.url.path,
            "here": here_of(request),
            "login": login_of(request),
            "stream": request.query_params.get("stream") or next(iter(self.streams)),
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "languages": LANGUAGES,
            "links": self.links,
            "session": session,
            "form_token": "" if session is None else session.form_token,
            "can_change": self.guard.can_change,
        }
        return HTMLResponse(self.fragment(template, texts, **{**every, **values}), status)

    def fragment(self, template: str, texts: Texts, **values: Any) -> str:
        """Return a template as text, outside of a request, such as for an event that many browsers get."""
        every = {"t": texts, "streams": list(self.streams), "dagster_url": self.dagster_url, "version": __version__}
        return self._environment.get_template(template).render({**every, **values})

    @cached_property
    def _environment(self) -> jinja2.Environment:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("engagement_platform.console.serve"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"query": query, "of_stream": of_stream}
        environment.filters |= {"with_code": with_code, "action": change_words.action, "outcome": change_words.outcome}
        return environment


_CODE = re.compile(
    rf"engagement-platform (?:(?:{'|'.join(GROUPS)}) [a-z-]+|[a-z-]+)"
    rf"(?: --[a-z-]+(?: [\w.-]*\w)?)*(?: (?:{'|'.join(NAMES)})\b)?(?: --[a-z-]+(?: [\w.-]*\w)?)*"
    r"|\bENGAGEMENT_[A-Z0-9_]*[A-Z0-9]\b|\bGRANT [^.;]+\b"
)


def with_code(text: str) -> Markup:
    """Return a text for people in which commands, variables and statements stand as code."""
    parts, end = [], 0
    for found in _CODE.finditer(text):
        parts += [escape(text[end : found.start()]), Markup('<code dir="ltr">{}</code>').format(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


@jinja2.pass_context
def of_stream(page: Context, **values: object) -> str:
    """Return a query string of what is not empty, with the page's stream where there are several."""
    return query(**values, stream=page["stream"] if len(page["streams"]) > 1 else "")


def query(**values: object) -> str:
    """Return a query string of what is not empty, with its question mark; empty for none."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return f"?{urlencode(given, doseq=True)}" if given else ""
