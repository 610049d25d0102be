"""Posts events to the partner's API: one request, one answer. Nothing is tried again here.

The answer is read to its final status under one deadline: see `connection`.

TLS is always verified. The environment's proxies, certificates and netrc are not looked at, cookies are not kept, and
redirects are not followed. What is told of a failure never holds a secret, not even one that the partner repeats.
"""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
import urllib3

from engagement_platform import __version__
from engagement_platform.adapters import https, tls
from engagement_platform.adapters.partner import secrets
from engagement_platform.adapters.partner.connection import Exchange, ExchangeAdapter
from engagement_platform.adapters.partner.replies import NoReply
from engagement_platform.domain import signing
from engagement_platform.domain.addresses import origin
from engagement_platform.domain.dead_letters import EXCERPT_CHARACTERS
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Request
from engagement_platform.domain.disclosure import body_of, object_of
from engagement_platform.domain.errors import EngagementError, SettingsError, Unavailable
from engagement_platform.domain.tls import Where, remedy
from engagement_platform.settings import STREAM, Api, files_of

_MIN_VALUE, _MIN_PART = 6, 16
"""Characters of what is taken for a secret in a query and in a path."""

_ENDED = "the run ends"
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class Partner:
    """A session with the partner's API, for as many threads as there may be requests at the same time.

    Raises SettingsError when it is made, when it is renewed, and when it is told of columns.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._columns: tuple[str, ...] | None = None
        self._user: str | None = "user_id"
        self._stream = STREAM
        self._url = api.url.get_secret_value()
        self._timeout = (api.connect_timeout_seconds, api.read_timeout_seconds)
        self._session = _session(api)
        self._files = files_of(api)
        self._secrets: list[str] = []
        self._under_way: set[Exchange] = set()
        self._lock = threading.Lock()
        self._is_ending = False
        self.renew()

    def renew(self) -> None:
        """Read the secrets again: those in files may have been replaced. Raises SettingsError."""
        self._marks = self._marks_now()
        token = secrets.token(self._api)
        self._disclosure = secrets.disclosure(self._api, self._columns, self._user, self._stream)
        self._signing_keys = secrets.signing_keys(self._api)
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Who was sent a secret may repeat it after another one has taken its place.
        self._secrets = sorted({*self._secrets, *_words(self._api, token)}, key=len, reverse=True)

    def _marks_now(self) -> list[object]:
        return [file.mark() for file in self._files]

    def _renew_changed(self) -> None:
        """Read secrets again whose files have changed. One that cannot be used is told once the partner refuses it."""
        if self._files and self._marks != self._marks_now():
            with suppress(SettingsError):
                self.renew()

    def disclose(self, columns: tuple[str, ...], user: str | None, stream: str) -> None:
        """Take note of the columns that messages have, of the one that names a person, and of the stream's name."""
        self._columns, self._user, self._stream = columns, user, stream
        self._disclosure = secrets.disclosure(self._api, columns, user, stream)

    def request_of(self, events: Sequence[tuple[int, bytes]]) -> Request:
        """Return the request that delivers events, each an id and a message's value.

        Its id, and the key of each event, are the same whenever the same events are sent.
        """
        objects = [object_of(value, event_id, self._disclosure) for event_id, value in events]
        body = body_of(objects, as_array=self._api.batch_size > 1)
        return Request(signing.request_id(self._disclosure.stream, (event_id for event_id, _ in events)), body)

    def post(self, events: Sequence[tuple[int, bytes]]) -> Answer | NoAnswer:
        """Deliver events in one request. Returns what came of it; never raises it."""
        return self.send(self.request_of(events))

    def send(self, request: Request) -> Answer | NoAnswer:
        """Make a request. Returns what came of it; never raises it."""
        body = request.body
        self._renew_changed()
        headers = signing.headers(self._signing_keys, request.id, int(time.time()), body) | self._authorization
        try:
            with (
                self._exchange(),
                self._session.post(
                    self._url, body, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
                ) as response,
            ):
                given = response.headers
                excerpt = self._hide(str(response.raw.read(decode_content=False), "utf-8", "replace"))
                return Answer(response.status_code, given.get("Retry-After"), given.get("Location"), excerpt)
        except _FAILURES as error:
            return self._failure(error)

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """Make a request in this block. Raises NoReply when the run ends."""
        exchange = Exchange(*self._timeout)
        with self._lock:
            if self._is_ending:
                raise NoReply(_ENDED)
            self._under_way.add(exchange)
        try:
            with exchange.under_way():
                yield
        except _FAILURES:
            if exchange.is_aborted:
                raise NoReply(_ENDED) from None
            raise
        finally:
            with self._lock:
                self._under_way.discard(exchange)

    def abort(self) -> None:
        """End all requests at once, and make no more: what they were about comes again, with the same keys."""
        with self._lock:
            self._is_ending = True
            under_way = list(self._under_way)
        for exchange in under_way:
            exchange.abort()

    def _failure(self, error: BaseException) -> NoAnswer:
        connect, read = self._timeout
        if isinstance(error, requests.ConnectTimeout):
            return NoAnswer(f"no connection within {connect:g} s")
        root = error if isinstance(error, NoReply) else _root(error)
        if isinstance(root, NoReply):
            return NoAnswer(str(root))
        if isinstance(error, requests.ReadTimeout) or isinstance(root, TimeoutError):
            return NoAnswer(f"no whole answer within {read:g} s")
        if refused := https.disagreement(root):
            return NoAnswer(self._hide(refused), for_a_person=True)
        if tunnel := _TUNNEL.search(str(root)):
            return NoAnswer(f"the proxy answered {tunnel[1]}", for_a_person=tunnel[1] in {"403", "407"})
        said = self._hide(root.strerror or "") if isinstance(root, OSError) else ""
        where = "the proxy failed: " if isinstance(error, requests.exceptions.ProxyError) else ""
        return NoAnswer(f"{where}{type(root).__name__}{f': {said}' if said else ''}")

    def _hide(self, text: str) -> str:
        """Return the beginning of a text without the secrets that the partner may have repeated in it."""
        for word in self._secrets:
            text = text.replace(word, "***")
        return text[:EXCERPT_CHARACTERS]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Look at no redirect: an address that cannot be read would hide the status."""


def _session(api: Api) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # What is small on the wire may be huge when it is unpacked, so nothing is.
    session.headers.update(
        {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"engagement-platform/{__version__}",
        }
    )
    https.of_session(session, api)
    if proxy := api.proxy.get_secret_value():
        session.proxies = {"http": proxy, "https": proxy}
    adapter = ExchangeAdapter(pool_connections=2, pool_maxsize=api.in_flight, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _root(error: BaseException) -> BaseException:
    """Return what an error began with: the outer ones quote the address, which may hold secrets."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _words(api: Api, token: str | None) -> set[str]:
    """Return every secret that was sent, or could be repeated."""
    address, proxy = urlsplit(api.url.get_secret_value()), api.proxy.get_secret_value()
    password = urlsplit(proxy).password or ""
    signing_keys, hash_key = secrets.secret(api, "signing_key"), secrets.secret(api, "hash_key")
    words = {token or "", *(signing_keys or "").split(), hash_key or "", password, unquote(password), address.query}
    # What an address holds may be a secret, too: a token in the query, a hook's name in the path.
    words |= {value for _, value in parse_qsl(address.query) if len(value) >= _MIN_VALUE}
    words |= {part for part in address.path.split("/") if len(part) >= _MIN_PART}
    return words - {""}


_PORTS = {"http": 80, "https": 443}


def reach(api: Api) -> str:
    """Connect to the partner's host, or to the proxy, with TLS where it is used; return what answered.

    Raises SettingsError when a secret or a file of TLS cannot be used, EngagementError when the two sides do not agree
    on TLS, and Unavailable when nobody listens.
    """
    Partner(api).close()
    proxy = api.proxy.get_secret_value()
    address = urlsplit(proxy or api.url.get_secret_value())
    host, port = address.hostname or "", address.port or _PORTS[address.scheme]
    name = api.variable("proxy" if proxy else "url")
    try:
        with socket.create_connection((host, port), api.connect_timeout_seconds) as connection:
            if address.scheme == "https":
                https.shake_hands(connection, host, api)
        disagreement = https.SPEAKS if address.scheme == "http" and tls.is_spoken(host, port) else None
    except OSError as error:
        disagreement = https.disagreement(error)
        if disagreement is None:
            raise Unavailable(
                f"The partner's API does not answer: {host}, port {port}: {error.strerror or error}.",
                f"Check {name}, and the way out of this network. Events wait in Kafka meanwhile.",
            ) from None
    if disagreement is not None:
        where = Where(host, api.variable("ca_file"), name, api.variable("client_cert_file"), f"the beginning of {name}")
        raise EngagementError(
            f"{host} and this machine do not agree on TLS: {disagreement}.", remedy(disagreement, where)
        ) from None
    if proxy:
        return f"the proxy for the partner's API answers: {host}, port {port}"
    return f"the partner's API answers: {origin(api.url.get_secret_value())}"
