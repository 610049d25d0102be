"""What Redis refuses until a person acts, in words for that person."""

from typing import NamedTuple

import redis

from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped
from engagement_platform.domain.tls import Where, remedy
from engagement_platform.settings import Redis as Settings

_LOGIN = ("WRONGPASS", "NOAUTH", "DENIED", "invalid password", "invalid username", "no password is set")


COMMANDS = (
    *("eval", "evalsha", "multi", "exec"),
    *("exists", "type", "scan", "unlink", "rename", "persist", "pexpire"),
    *("hget", "hgetall", "hmget", "hset", "hdel", "hincrby"),
    *("zadd", "zcard", "zmscore", "zrange", "zrangebyscore", "zrevrange", "zrem"),
    *("info", "time", "select", "client|setinfo"),
)
"""All that tally and readers ask of Redis, from the program or from a script; a test holds that each is needed.

`select` is for an address that names another database than 0. Without the last one all works, and the server's log of
refusals fills.
"""


def rights(namespace: str) -> str:
    """Return what the ACL must give the user of tally and readers."""
    return f"~{{{namespace}}}:* {' '.join(f'+{command}' for command in COMMANDS)}"


def make_room(settings: Settings) -> str:
    """Return what to do where another program wrote to the tally's keys."""
    return (
        "Another program wrote to the tally's keys. Give one of the two another namespace, this platform by"
        f" {settings.variable('namespace')}; then build the views anew: engagement-platform views rebuild"
    )


class Server(NamedTuple):
    """Whom a client speaks to, without secrets, and the settings that say so."""

    address: str
    user: str
    settings: Settings


def refusal(error: redis.exceptions.RedisError, server: Server) -> EngagementError | None:
    """Return what to tell the operator; None for an outage, and for what nobody knows what to do about.

    A script's error carries the reply of the command that failed within another text, so texts decide, too.
    """
    # What follows are arguments, a password perhaps.
    said = str(error).partition(", with args beginning with")[0]
    if refused := _refused(error, said, server):
        return refused
    name = f"Redis at {server.address}"
    if isinstance(error, redis.exceptions.MovedError) or "non local key in a cluster" in said:
        return StreamStopped(
            f"{name} is one node of a cluster, and the views belong to another one ({said}).",
            f"The platform does not follow redirections. Let {server.settings.variable('url')} name a server that is"
            " not in cluster mode, a proxy that knows the cluster, or the node that holds the views: their keys share"
            " one hash tag, so one node has all of them, until its slot is moved.",
        )
    if "WRONGTYPE" in said:
        return StreamStopped(f"In {name} a key of the views is of another kind ({said}).", make_room(server.settings))
    if "unknown command" in said.lower() or "unknown redis command" in said.lower():
        return StreamStopped(
            f"{name} lacks a command that the tally needs ({said}).",
            "Use Redis 6.2 or newer, or Valkey, with none of its commands renamed or switched off.",
        )
    return None


def tls_refused(server: Server, said: str) -> Refused:
    """Return what to tell of two sides that do not agree on TLS."""
    name, settings = f"Redis at {server.address}", server.settings
    where = Where(
        "Redis",
        settings.variable("ssl_cafile"),
        settings.variable("url"),
        f"{settings.variable('ssl_certfile')} and {settings.variable('ssl_keyfile')}",
        f"the beginning of {settings.variable('url')}, rediss:// or redis://,",
    )
    return Refused(f"{name} and this machine do not agree on TLS ({said}).", remedy(said, where), server=name)


def _refused(error: redis.exceptions.RedisError, said: str, server: Server) -> Refused | None:
    name, user, url = f"Redis at {server.address}", server.user, server.settings.variable("url")
    if isinstance(error, redis.exceptions.AuthenticationError) or any(text in said for text in _LOGIN):
        return Refused(
            f"{name} refuses the login of its user {user} ({said}).",
            f"Put user and password of {url} right, or let its administrator set them (requirepass, or ACL SETUSER).",
            server=name,
        )
    if "[SSL:" in said and "EOF" not in said:  # a connection that broke on the way is an outage
        return tls_refused(server, said)
    # Without the right to MULTI the commands behind it are carried out one by one, and EXEC alone is an error.
    marks = ("NOPERM", "ACL failure in script", "EXEC without MULTI")
    if isinstance(error, redis.exceptions.NoPermissionError) or any(mark in said for mark in marks):
        return Refused(
            f"{name} does not permit its user {user} what the tally does ({said}).",
            f"Let its administrator run: ACL SETUSER {user} {rights(server.settings.namespace)}, and ACL SAVE.",
            server=name,
        )
    return None
