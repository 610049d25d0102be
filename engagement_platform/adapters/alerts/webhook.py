"""Posts alerts to the webhook of the settings: one request, one answer. Nothing is tried again here.

As with the partner: TLS is verified, redirects are not followed, the environment's proxies and netrc are not looked at,
one deadline holds for the whole answer, and what is told of a failure holds no secret. A webhook's address is one.
"""

import http.client
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import requests
import urllib3

from engagement_platform import __version__
from engagement_platform.adapters import https
from engagement_platform.adapters.partner import secrets
from engagement_platform.adapters.partner.connection import Exchange, ExchangeAdapter
from engagement_platform.domain import signing
from engagement_platform.domain.addresses import origin
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Outcome, judge
from engagement_platform.settings import Alerting

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_EXCERPT_CHARACTERS = 200
_MIN_SECRET = 6
"""Characters of a part of the address that is taken for a secret."""
_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class Webhook:
    """A session with the webhook. Raises SettingsError when it is made, where a key or a file cannot be used."""

    def __init__(self, alert: Alerting) -> None:
        self._url = alert.url.get_secret_value()
        self._keys = secrets.signing_keys(alert)
        self._secrets = _words(self._url, alert.proxy.get_secret_value())
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"engagement-platform/{__version__}",
            }
        )
        https.of_session(self._session, alert)
        if proxy := alert.proxy.get_secret_value():
            self._session.proxies = {"http": proxy, "https": proxy}
        adapter = ExchangeAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    @property
    def shown(self) -> str:
        """What may be shown of its address."""
        return origin(self._url)

    def post(self, message_id: str, message: Mapping[str, Any]) -> Outcome:
        """Deliver a message under its id, signed where there is a key. Returns what came of it; never raises it."""
        return judge(self._post(message_id, msgspec.json.encode(message)), datetime.now(UTC))

    def _post(self, message_id: str, body: bytes) -> Answer | NoAnswer:
        headers = signing.headers(self._keys, message_id, int(time.time()), body)
        try:
            with (
                Exchange(CONNECT_SECONDS, ANSWER_SECONDS).under_way(),
                self._session.post(
                    self._url,
                    body,
                    headers=headers,
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                said = self._hide(str(response.raw.read(decode_content=False), "utf-8", "replace"))
                given = response.headers
                return Answer(response.status_code, given.get("Retry-After"), given.get("Location"), said)
        except _FAILURES as error:
            root = _root(error)
            if refused := https.disagreement(root):
                return NoAnswer(self._hide(refused), for_a_person=True)
            said = self._hide(getattr(root, "strerror", None) or "")
            return NoAnswer(f"{type(root).__name__}{f': {said}' if said else ''}")

    def _hide(self, text: str) -> str:
        for word in self._secrets:
            text = text.replace(word, "***")
        return " ".join(text[:_EXCERPT_CHARACTERS].split())

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _root(error: BaseException) -> BaseException:
    """Return what an error began with: the outer ones quote the address."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _words(url: str, proxy: str) -> list[str]:
    """Return what may be secret in the addresses, the longest first."""
    address, password = urlsplit(url), urlsplit(proxy).password or ""
    words = {address.query, address.path.strip("/"), password, unquote(password)}
    words |= {value for _, value in parse_qsl(address.query)} | set(address.path.split("/"))
    return sorted((word for word in words if len(word) >= _MIN_SECRET), key=len, reverse=True)
