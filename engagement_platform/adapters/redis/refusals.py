"""What Redis refuses until a person acts, in words for that person."""

from typing import NamedTuple

import redis

from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped
from engagement_platform.settings import Redis as Settings

_LOGIN = ("WRONGPASS", "NOAUTH", "DENIED", "invalid password", "invalid username", "no password is set")


def rights(namespace: str) -> str:
    """Return what the ACL must give the user of tally and readers."""
    return f"~{{{namespace}}}:* +@read +@write +@scripting +@transaction +@connection +time -@dangerous +info"


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


def _refused(error: redis.exceptions.RedisError, said: str, server: Server) -> Refused | None:
    name, user, url = f"Redis at {server.address}", server.user, server.settings.variable("url")
    if isinstance(error, redis.exceptions.AuthenticationError) or any(text in said for text in _LOGIN):
        return Refused(
            f"{name} refuses the login of its user {user} ({said}).",
            f"Put user and password of {url} right, or let its administrator set them (requirepass, or ACL SETUSER).",
            server=name,
        )
    if "[SSL:" in said and "EOF" not in said:  # a connection that broke on the way is an outage
        return Refused(
            f"{name} and this machine do not agree on TLS ({said}).",
            f"Let {url} begin with rediss:// only where the server speaks TLS, name the host that its certificate"
            " carries, and add ssl_ca_certs=FILE to it for an authority that is not a public one.",
            server=name,
        )
    if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in said or "ACL failure in script" in said:
        return Refused(
            f"{name} does not permit its user {user} what the tally does ({said}).",
            f"Let its administrator run: ACL SETUSER {user} {rights(server.settings.namespace)}, and ACL SAVE.",
            server=name,
        )
    return None
