"""How every Redis client of the platform connects, and which of its errors mean an outage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engagement_platform.adapters import keepalive
from engagement_platform.adapters.redis.refusals import Server, refusal
from engagement_platform.domain.errors import SettingsError, Unavailable
from engagement_platform.settings import Redis

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


class Client(redis.Redis):
    """A client that knows the settings by which it was made."""

    settings: Redis = Redis()


def connect_redis(settings: Redis) -> redis.Redis:
    """Return a client; it connects when it is first used.

    It does not try again by itself: after a failure the tally reads the offsets first. Raises SettingsError for a URL
    with options that there are not.
    """
    url = settings.url.get_secret_value()
    for name in _OUR_OWN.intersection(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise SettingsError(
            f"{settings.variable('url')} has the option {name}, which the platform sets by itself.",
            "Take it out: counting is exact only with the platform's own.",
        )
    over_tcp: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": keepalive.TCP}
    try:
        client = cast(
            "Client",
            Client.from_url(
                url,
                **({} if url.startswith("unix:") else over_tcp),
                decode_responses=True,
                protocol=2,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            ),
        )
        client.connection_pool.make_connection()  # which connects to nothing, and looks at the URL's options
    except (TypeError, ValueError, redis.exceptions.RedisError):
        # The error names the option, which may be a piece of a password.
        raise SettingsError(
            f"{settings.variable('url')} has an option, behind the question mark, that Redis' client does not know or"
            " whose value it cannot use.",
            "Write an & of a password as %26, or put the password before the host: redis://:PASSWORD@host:6379/0.",
        ) from None
    client.settings = settings
    return client


@contextmanager
def reaching(client: redis.Redis) -> Iterator[None]:
    """Turn an outage into Unavailable, and drop the connections: after a failover the address leads elsewhere.

    Raises Refused for a login or a right, and StreamStopped for what else stays until a person acts. Any other error is
    let through.
    """
    try:
        yield
    except redis.exceptions.RedisError as error:
        refused = refusal(error, Server(address(client), _user(client), settings_of(client)))
        if isinstance(error, redis.exceptions.ConnectionError):
            client.connection_pool.disconnect()
        if refused is not None:
            raise refused from None  # it has the error's text, but for what may be secret in that
        if not is_outage(error):
            raise
        client.connection_pool.disconnect()
        raise Unavailable(
            f"Redis at {address(client)} does not answer ({type(error).__name__}: {error}).",
            f"Check that it runs and {settings_of(client).variable('url')} names it.",
            server=f"Redis at {address(client)}",
        ) from error


def is_outage(error: redis.exceptions.RedisError) -> bool:
    """Say whether the error passes by itself or once someone has repaired the server."""
    if type(error) is redis.exceptions.AskError:
        return True  # while the slot is being moved; MovedError, which stays, is derived from it
    # A script's error carries the reply of the command that failed, so its text decides too.
    return isinstance(error, _OUTAGES) or str(error).startswith(_OUTAGE_REPLIES)


def settings_of(client: redis.Redis) -> Redis:
    """Return the settings by which a client was made, for what its errors name."""
    return client.settings if isinstance(client, Client) else Redis()


def address(client: redis.Redis) -> str:
    """Return where the client connects to, without secrets."""
    kwargs = client.connection_pool.connection_kwargs
    return str(kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}")


def _user(client: redis.Redis) -> str:
    return str(client.connection_pool.connection_kwargs.get("username") or "default")
