"""How every Redis client of the platform connects, and which of its errors mean an outage."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

TIMEOUT_SECONDS = 5.0

_OUTAGES = (
    redis.exceptions.ConnectionError,  # BusyLoadingError and AuthenticationError among them
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
_OUTAGE_REPLIES = ("BUSY ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ", "LOADING ", "READONLY ", "OOM ", "UNBLOCKED ")


def connect(settings: Settings) -> redis.Redis:
    """Return a client; it connects when it is first used.

    It does not try again by itself: after a failure the tally reads the offsets first.
    """
    return redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        protocol=2,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def reaching(client: redis.Redis) -> Iterator[None]:
    """Turn an outage into Unavailable, and drop the connections: after a failover the address leads elsewhere."""
    try:
        yield
    except redis.exceptions.RedisError as error:
        if not is_outage(error):
            raise
        client.connection_pool.disconnect()
        raise Unavailable(
            f"Redis at {address(client)} does not answer ({type(error).__name__}: {error}).",
            "Check that it runs and ENGAGEMENT_REDIS_URL names it.",
        ) from error


def is_outage(error: redis.exceptions.RedisError) -> bool:
    """Say whether the error passes by itself or once someone has repaired the server."""
    # A script's error carries the reply of the command that failed, so its text decides too.
    return isinstance(error, _OUTAGES) or str(error).startswith(_OUTAGE_REPLIES)


def address(client: redis.Redis) -> str:
    """Return where the client connects to, without secrets."""
    kwargs = client.connection_pool.connection_kwargs
    return str(kwargs.get("path") or f"{kwargs.get('host')}:{kwargs.get('port')}")
