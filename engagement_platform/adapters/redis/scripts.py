"""Runs the `.lua` files of this folder, by their hash where the server knows it."""

import hashlib
from functools import cache
from importlib import resources

import redis


@cache
def source(name: str) -> str:
    """Return the text of a script, the common part before it."""
    folder = resources.files(__package__)
    return "\n".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))


@cache
def digest(text: str) -> str:
    """Return the hash under which a server knows a script."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis, name: str, keys: list[str], *args: bytes | str) -> object:
    """Run a script. A server that does not know it, new or restarted, is sent the text."""
    text = source(name)
    try:
        return client.evalsha(digest(text), len(keys), *keys, *args)
    except redis.exceptions.NoScriptError:
        return client.eval(text, len(keys), *keys, *args)
