"""Who may read and who may change something: tokens, sessions, forms, hosts and headers.

Whoever has the token may change something: a program sends it as `Authorization: Bearer`, a person gives it once at the
login and has a session afterwards, whose cookie no script and no other site can use. Each form carries a token of its
own, bound to the session. Without a token nothing can be changed at all.

Everybody may read where the page listens on loopback only. Elsewhere reading needs the token, too, unless it is said
that something else guards it.
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engagement_platform.adapters.partner.secrets import secret
from engagement_platform.console.serve.api import problem
from engagement_platform.console.serve.api.operation import PREFIX
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Page

SESSION_SECONDS = 12 * 3_600
COOKIE = "engagement_session"
FORM_TOKEN = "form_token"  # noqa: S105, the name of a field
FORM_HEADER = "x-form-token"
LARGEST_FORM = 64 << 10
_MOST_SESSIONS = 1_000
_SHORTEST_TOKEN = 16

OPEN_PATHS = ("/livez", "/readyz", "/login", "/static/", "/choose")
"""What needs no token in any case: nothing of the platform's data is there."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something."""

    name: str
    """As they named themselves."""
    address: str

    def __str__(self) -> str:
        return f"{self.name} from {self.address}"


@dataclass(frozen=True, slots=True)
class Session:
    """What a person has after the login."""

    name: str
    ends_at: float
    """By the monotonic clock."""
    form_token: str
    begun_with: str | None
    """The digest of the token that began it: with another one it is over."""


@dataclass
class WrongTokens:
    """Counts wrong tokens by address: after some, further wrong ones from there are refused for a while."""

    MOST = 5
    SECONDS = 60.0
    _MOST_ADDRESSES = 10_000
    _times: dict[str, deque[float]] = field(default_factory=dict)
    _pruned_at: float = float("-inf")

    def wait(self, address: str, now: float) -> float:
        """Return for how many seconds an address has to wait; 0 when it may try."""
        times = self._times.get(address, deque())
        while times and now - times[0] >= self.SECONDS:
            times.popleft()
        return 0.0 if len(times) < self.MOST else self.SECONDS - (now - times[0])

    def note(self, address: str, now: float) -> None:
        """Note a wrong token."""
        if len(self._times) >= self._MOST_ADDRESSES and now - self._pruned_at >= self.SECONDS / 10:
            self._pruned_at = now
            self._times = {one: times for one, times in self._times.items() if now - times[-1] < self.SECONDS}
        if len(self._times) < self._MOST_ADDRESSES or address in self._times:
            self._times.setdefault(address, deque(maxlen=self.MOST)).append(now)


def token_of(page: Page) -> str | None:
    """Return the token; None where none is set. Raises SettingsError for one that is too short."""
    token = secret(page, "token")
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise SettingsError(
            f"The file of {page.variable('token')}_FILE holds {len(token)} characters.",
            f"A token has {_SHORTEST_TOKEN} or more: openssl rand -base64 24 makes one.",
        )
    return token


class Guard:
    """Decides who may do what. In one process; sessions end with it, and with the token that began them.

    `token` is the token, or reads it: from a file that may change. What it returned last stays in force where it raises
    SettingsError.
    """

    def __init__(
        self,
        token: str | Callable[[], str | None] | None,
        hosts: Collection[str] = (),
        *,
        open_to_readers: bool = True,
    ) -> None:
        self._read_token = token if callable(token) else None
        self._last_token = token() if callable(token) else token
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}
        self.open_to_readers = open_to_readers
        self._sessions: dict[str, Session] = {}
        self._wrong = WrongTokens()

    @property
    def _token(self) -> str | None:
        """The digest of the token; None where none is set."""
        if self._read_token is not None:
            with suppress(SettingsError):
                self._last_token = self._read_token()
        return None if self._last_token is None else _digest(self._last_token)

    @property
    def can_change(self) -> bool:
        """Whether anything can be changed at all: a token is set."""
        return self._token is not None

    # Who it is

    def session(self, request: HTTPConnection) -> Session | None:
        """Return the session of a request; None where it has none."""
        session = self._sessions.get(_digest(request.cookies.get(COOKIE, "")))
        if session is None or session.ends_at <= time.monotonic() or session.begun_with != self._token:
            return None
        return session

    def may_read(self, request: HTTPConnection) -> bool:
        """Say whether a request may read. Raises HTTPException for a wrong token."""
        if self.open_to_readers or self.session(request) is not None:
            return True
        return self._bearer(request) is not None

    async def actor(self, request: Request) -> Actor:
        """Return who changes something by a request. Raises HTTPException where nobody may.

        Either the request has the token as a bearer, and may name who sends it in `X-Actor`; or it has a session and,
        in the field `form_token` or the header `X-Form-Token`, the token of that session's forms.
        """
        if not self.can_change:
            raise PageRefusal(403, "no_token_set")
        if (actor := self._bearer(request)) is not None:
            return actor
        session = self.session(request)
        if session is None:
            raise PageRefusal(401, "log_in", {"www-authenticate": "Bearer"})
        require_same_origin(request)
        given = request.headers.get(FORM_HEADER) or (await form_of(request)).get(FORM_TOKEN, "")
        if not hmac.compare_digest(_digest(given), _digest(session.form_token)):
            raise PageRefusal(403, "other_form")
        return Actor(session.name, address_of(request))

    def _bearer(self, request: HTTPConnection) -> Actor | None:
        """Return who sends the token; None where none is sent. Raises HTTPException for a wrong one."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        self._require_token(given.strip(), address_of(request))
        return Actor(_name(request.headers.get("x-actor", "")) or "bearer", address_of(request))

    def _require_token(self, given: str, address: str) -> None:
        """Raise HTTPException unless this is the token. It takes as long wherever the first difference is.

        It is heard also from where others guess: behind a proxy all come from one address, and whoever may read could
        else lock out those who act. What keeps guesses from coming true is its length.
        """
        if (token := self._token) is not None and hmac.compare_digest(_digest(given), token):
            return
        now = time.monotonic()
        if wait := self._wrong.wait(address, now):
            raise PageRefusal(429, "wrong_tokens", {"retry-after": f"{wait:.0f}"})
        self._wrong.note(address, now)
        raise PageRefusal(401, "wrong_token", {"www-authenticate": "Bearer"})

    # Login and logout

    async def log_in(self, request: Request, response: Response) -> None:
        """Begin a session for whoever gives the token, with the cookie in `response`. Raises HTTPException."""
        require_same_origin(request)
        form = await form_of(request)
        self._require_token(form.get("token", "").strip(), address_of(request))
        now = time.monotonic()
        self._sessions = {name: one for name, one in self._sessions.items() if one.ends_at > now}
        while len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        value = secrets.token_urlsafe(32)
        name = _name(form.get("name", "")) or "somebody"
        self._sessions[_digest(value)] = Session(name, now + SESSION_SECONDS, secrets.token_urlsafe(32), self._token)
        response.set_cookie(
            COOKIE,
            value,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=is_secure(request),
            path="/",
        )

    async def log_out(self, request: Request, response: Response) -> None:
        """End the session of a request. Raises HTTPException for a form that is not the session's."""
        await self.actor(request)
        self._sessions.pop(_digest(request.cookies.get(COOKIE, "")), None)
        response.delete_cookie(COOKIE, path="/", secure=is_secure(request), httponly=True, samesite="strict")

    # Hosts

    def knows_host(self, host: str) -> bool:
        """Say whether the page may be asked for by this host: an address, localhost, or a name that was allowed.

        Another site's name that leads here would let that site's scripts read the page (DNS rebinding).
        """
        name = (urlsplit(f"//{host}").hostname or "") if _is_host(host) else ""
        return name in self._hosts or _is_address(name)


class Guarded:
    """Stands before all routes: looks at the host, lets only readers in who may read, and adds the headers."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        app = self._refusal(scope) or self._app
        await app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        path = scope["path"]
        if not self._guard.knows_host(Headers(scope=scope).get("host", "")):
            return _refused(
                path, 421, "This host is not known here. Start engagement-platform serve with --allow-host NAME."
            )
        if self._guard.open_to_readers or path.startswith(OPEN_PATHS):
            return None
        request = HTTPConnection(scope)
        try:
            if self._guard.may_read(request):
                return None
        except HTTPException as error:
            return _refused(path, error.status_code, error.detail, error.headers)
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(login_of(request), 303)
        return _refused(path, 401, "Send the token.", {"www-authenticate": "Bearer"})


def _refused(path: str, status: int, what: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a refusal: to who asks the API a problem, else a line of text."""
    if path.startswith(PREFIX):
        return problem.response(problem.of_status(status, what), dict(headers or {}))
    return Response(f"{what}\n", status, headers, media_type="text/plain")


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a posted form, of each the last value. Raises HTTPException for one that is too large."""
    lists = await lists_of(request)
    return {name: values[-1] for name, values in lists.items()}


async def lists_of(request: Request) -> Mapping[str, list[str]]:
    """Return the fields of a posted form with all their values, as of boxes that are ticked."""
    if not hasattr(request.state, "form"):
        body = bytearray()
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded":
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM:
                    raise PageRefusal(413, "large_form")
        try:
            request.state.form = parse_qs(
                body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=5_000
            )
        except ValueError:
            raise PageRefusal(400, "unreadable_form") from None
    form: Mapping[str, list[str]] = request.state.form
    return form


def require_same_origin(request: Request) -> None:
    """Raise HTTPException for a request that another site's page sends. Programs send no origin."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    is_foreign = origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if is_foreign or site not in ("none", "same-origin"):
        raise PageRefusal(403, "other_site")


def address_of(request: HTTPConnection) -> str:
    """Return from which address a request comes. Headers of proxies are not believed: anybody can write them."""
    return request.client.host if request.client else "unknown"


def is_secure(request: HTTPConnection) -> bool:
    """Say whether the browser speaks TLS, here or to a proxy in front: its cookie then never leaves without."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())


def here_of(request: HTTPConnection) -> str:
    """Return the path of a request, with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def login_of(request: HTTPConnection) -> str:
    """Return where the login is that leads back to a request's page."""
    here = here_of(request)
    return "/login" if here == "/" or request.url.path == "/login" else f"/login?{urlencode({'back': here})}"


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address that is listened on."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _is_host(host: str) -> bool:
    return bool(host) and all("!" <= character <= "~" and character not in "/?#@\\" for character in host)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _digest(text: str) -> str:
    """Return what stands for a secret: of one length whatever the secret, so that comparing says nothing of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _name(text: str) -> str:
    """Return how somebody names themselves, as one short line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80]
