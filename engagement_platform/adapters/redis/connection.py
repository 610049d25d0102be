"""How every Redis client of the platform connects, and which of its errors mean an outage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.credentials import CredentialProvider
from redis.retry import Retry

from engagement_platform.adapters import keepalive, tls
from engagement_platform.adapters.redis.refusals import Server, refusal, tls_refused
from engagement_platform.domain.errors import EngagementError, Refused, SettingsError, Unavailable
from engagement_platform.settings import Redis, SecretFile

TIMEOUT_SECONDS = 5.0

_OUTAGES = (
    redis.exceptions.ConnectionError,  # BusyLoadingError among them
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
    redis.exceptions.InvalidResponse,  # of a proxy, or of the rest of an answer: a new connection begins afresh
)
_OUTAGE_REPLIES = ("BUSY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "LOADING ", "READONLY ", "OOM ", "UNBLOCKED ")


_OUR_OWN = frozenset(
    {"retry", "retry_on_timeout", "retry_on_error", "decode_responses", "encoding", "encoding_errors", "protocol"}
)
"""Options on which exact counting rests: a URL may not set them."""


class _Login(CredentialProvider):
    """Who logs in, by the URL that a file holds: another one once that was replaced."""

    def __init__(self, url: SecretFile) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str] | tuple[str, str] | tuple[()]:  # type: ignore[override]
        """Return user and password, or the password alone, or nothing where there is none."""
        user, password = self._present("username"), self._present("password")
        return (user, password) if user else (password,) if password else ()

    @property
    def user(self) -> str:
        """The user; empty where none is named."""
        return self._present("username")

    def _present(self, name: str) -> str:
        taken_apart: dict[str, Any] = parse_url(self._url.get_secret_value())  # type: ignore[no-untyped-call]
        return str(taken_apart.get(name) or "")


class Client(redis.Redis):
    """A client that knows the settings by which it was made."""

    settings: Redis = Redis()


_Made = TypeVar("_Made", redis.Redis, redis.asyncio.Redis)


def connect_redis(settings: Redis) -> redis.Redis:
    """Return a client; it connects when it is first used.

    It does not try again by itself: after a failure the tally reads the offsets first. Raises SettingsError for a URL
    with options that there are not.
    """
    client = _made(Client, settings, Retry(NoBackoff(), 0))
    cast("Client", client).settings = settings
    return client


def connect_redis_async(settings: Redis) -> redis.asyncio.Redis:
    """Return a client for one event loop, which connects when it is first used. Raises as `connect_redis`."""
    return _made(redis.asyncio.Redis, settings, AsyncRetry(NoBackoff(), 0))


def _made(kind: type[_Made], settings: Redis, retry: Retry | AsyncRetry) -> _Made:
    url = settings.url.get_secret_value()
    for name in _OUR_OWN.intersection(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise SettingsError(
            f"{settings.variable('url')} has the option {name}, which the platform sets by itself.",
            "Take it out: counting is exact only with the platform's own.",
        )
    over_tcp: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": keepalive.TCP}
    over_tls = _tls(settings, url)
    try:
        client: Any = kind.from_url(
            url,
            **({} if url.startswith("unix:") else over_tcp),
            **over_tls,
            decode_responses=True,
            protocol=2,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=retry,
        )
        _log_in_by(client.connection_pool.connection_kwargs, settings)
        client.connection_pool.make_connection()  # which connects to nothing, and looks at the URL's options
    except (TypeError, ValueError, redis.exceptions.RedisError):
        # The error names the option, which may be a piece of a password.
        raise SettingsError(
            f"{settings.variable('url')} has an option, behind the question mark, that Redis' client does not know or"
            " whose value it cannot use.",
            "Write an & of a password as %26, or put the password before the host: redis://:PASSWORD@host:6379/0.",
        ) from None
    return cast("_Made", client)


def _tls(settings: Redis, url: str) -> dict[str, Any]:
    """Return the options of TLS that the settings have. Raises SettingsError."""
    key = settings.ssl_key_password
    options = {
        "ssl_ca_certs": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
        "ssl_password": key.get_secret_value() if key else None,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    if given and not url.startswith("rediss:"):
        raise SettingsError(
            f"{settings.variable('url')} does not begin with rediss://, and a setting of TLS for it is there.",
            f"Let it begin so, or leave {settings.variable('ssl_cafile')} and the like out.",
        )
    if given:
        tls.context(settings)
    return given


def _log_in_by(options: dict[str, Any], settings: Redis) -> None:
    """Let each new connection of a pool log in with what the file of the URL holds then."""
    if isinstance(settings.url, SecretFile):
        options["credential_provider"] = _Login(settings.url)
        options.pop("username", None)
        options.pop("password", None)


@contextmanager
def reaching(client: redis.Redis) -> Iterator[None]:
    """Turn an outage into Unavailable, and drop the connections: after a failover the address leads elsewhere.

    Raises Refused for a login or a right, and StreamStopped for what else stays until a person acts. Any other error is
    let through.
    """
    try:
        yield
    except redis.exceptions.RedisError as error:
        if isinstance(error, redis.exceptions.ConnectionError) or is_outage(error):
            client.connection_pool.disconnect()
        told = explained(error, server_of(client, settings_of(client)))
        if told is None:
            raise
        if type(told) is Unavailable and isinstance(error, redis.exceptions.ConnectionError | redis.TimeoutError):
            told = _of_tls(client) or told
        # A refusal has the error's text, but for what may be secret in that.
        raise told from (error if type(told) is Unavailable else None)


def _of_tls(client: redis.Redis) -> Refused | None:
    """Return what to tell where the two sides do not agree on TLS and the client saw only that its connection ended.

    None for a URL with options of TLS of its own, which the look would not have.
    """
    kwargs, settings = client.connection_pool.connection_kwargs, settings_of(client)
    if "path" in kwargs or "ssl_" in urlsplit(settings.url.get_secret_value()).query:
        return None
    at = str(kwargs.get("host", "localhost")), int(kwargs.get("port", 6379))
    if not issubclass(client.connection_pool.connection_class, SSLConnection):
        said = "it speaks TLS there" if tls.is_spoken(*at) else None
    elif tls.answers_in_plain(*at, b"PING\r\n"):
        said = "it speaks no TLS there"
    else:
        said = tls.objection(tls.context(settings), *at)
    return None if said is None else tls_refused(server_of(client, settings), said)


def explained(error: redis.exceptions.RedisError, server: Server) -> EngagementError | None:
    """Return what an error means for people: Refused, StreamStopped or Unavailable; None for any other one."""
    refused = refusal(error, server)
    if refused is not None or not is_outage(error):
        return refused
    return Unavailable(
        f"Redis at {server.address} does not answer ({type(error).__name__}: {error}).",
        f"Check that it runs and {server.settings.variable('url')} names it.",
        server=f"Redis at {server.address}",
    )


def server_of(client: redis.Redis | redis.asyncio.Redis, settings: Redis) -> Server:
    """Return whom a client speaks to."""
    return Server(address(client), _user(client), settings)


def is_outage(error: redis.exceptions.RedisError) -> bool:
    """Say whether the error passes by itself or once someone has repaired the server."""
    if type(error) is redis.exceptions.AskError:
        return True  # while the slot is being moved; MovedError, which stays, is derived from it
    # A script's error carries the reply of the command that failed, so its text decides too.
    return isinstance(error, _OUTAGES) or str(error).startswith(_OUTAGE_REPLIES)


def settings_of(client: redis.Redis) -> Redis:
    """Return the settings by which a client was made, for what its errors name."""
    return client.settings if isinstance(client, Client) else Redis()


def address(client: redis.Redis | redis.asyncio.Redis) -> str:
    """Return where the client connects to, without secrets."""
    kwargs = client.connection_pool.connection_kwargs
    return str(kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}")


def _user(client: redis.Redis | redis.asyncio.Redis) -> str:
    kwargs = client.connection_pool.connection_kwargs
    login = kwargs.get("credential_provider")
    return (login.user if isinstance(login, _Login) else str(kwargs.get("username") or "")) or "default"
