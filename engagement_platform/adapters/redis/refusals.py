"""What Redis refuses until a person acts, in words for that person."""

import redis

from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped

RIGHTS = "~{engagement}:* +@read +@write +@scripting +@transaction +@connection +time -@dangerous +info"
"""What the ACL must give the user of tally and readers, where the namespace is `engagement`."""

MAKE_ROOM = (
    "Another program wrote to the tally's keys. Give one of the two another namespace, this platform by"
    " ENGAGEMENT_REDIS_NAMESPACE; then build the views anew: engagement-platform views rebuild"
)


_LOGIN = ("WRONGPASS", "NOAUTH", "DENIED", "invalid password", "invalid username", "no password is set")


def refusal(error: redis.exceptions.RedisError, address: str, user: str) -> EngagementError | None:
    """Return what to tell the operator; None for an outage, and for what nobody knows what to do about.

    A script's error carries the reply of the command that failed within another text, so texts decide, too.
    """
    # What follows are arguments, a password perhaps.
    said = str(error).partition(", with args beginning with")[0]
    if refused := _refused(error, said, address, user):
        return refused
    if isinstance(error, redis.exceptions.MovedError) or "non local key in a cluster" in said:
        return _elsewhere(said, address)
    if "WRONGTYPE" in said:
        return StreamStopped(f"In Redis at {address} a key of the views is of another kind ({said}).", MAKE_ROOM)
    if "unknown command" in said.lower() or "unknown redis command" in said.lower():
        return _too_old(said, address)
    return None


def _refused(error: redis.exceptions.RedisError, said: str, address: str, user: str) -> Refused | None:
    if isinstance(error, redis.exceptions.AuthenticationError) or any(text in said for text in _LOGIN):
        return _login(said, address, user)
    if "[SSL:" in said and "EOF" not in said:  # a connection that broke on the way is an outage
        return _tls(said, address)
    if isinstance(error, redis.exceptions.NoPermissionError) or "NOPERM" in said or "ACL failure in script" in said:
        return _not_permitted(said, address, user)
    return None


def _login(said: str, address: str, user: str) -> Refused:
    return Refused(
        f"Redis at {address} refuses the login of its user {user} ({said}).",
        "Put user and password of ENGAGEMENT_REDIS_URL right, or let its administrator set them (requirepass, or ACL"
        " SETUSER).",
        server=f"Redis at {address}",
    )


def _tls(said: str, address: str) -> Refused:
    return Refused(
        f"Redis at {address} and this machine do not agree on TLS ({said}).",
        "Let ENGAGEMENT_REDIS_URL begin with rediss:// only where the server speaks TLS, name the host that its"
        " certificate carries, and add ssl_ca_certs=FILE to it for an authority that is not a public one.",
        server=f"Redis at {address}",
    )


def _not_permitted(said: str, address: str, user: str) -> Refused:
    return Refused(
        f"Redis at {address} does not permit its user {user} what the tally does ({said}).",
        f"Let its administrator run: ACL SETUSER {user} {RIGHTS}"
        " (with the ENGAGEMENT_REDIS_NAMESPACE in place of engagement), and ACL SAVE.",
        server=f"Redis at {address}",
    )


def _elsewhere(said: str, address: str) -> StreamStopped:
    return StreamStopped(
        f"Redis at {address} is one node of a cluster, and the views belong to another one ({said}).",
        "The platform does not follow redirections. Let ENGAGEMENT_REDIS_URL name a server that is not in cluster mode,"
        " a proxy that knows the cluster, or the node that holds the views: their keys share one hash tag, so one node"
        " has all of them, until its slot is moved.",
    )


def _too_old(said: str, address: str) -> StreamStopped:
    return StreamStopped(
        f"Redis at {address} lacks a command that the tally needs ({said}).",
        "Use Redis 6.2 or newer, or Valkey, with none of its commands renamed or switched off.",
    )
