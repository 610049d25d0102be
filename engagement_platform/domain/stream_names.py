"""Names of a stream in what people see: of its definitions, and in the commands that they are told to run.

A command that a person copies from a text must act on the stream that the text is about, and a variable that one is
told to set must be one that this stream looks at. Errors are made far from where a stream has its name. So what works
on a stream says so around its work (`settings.about`), and whatever text names a command or a variable then names the
stream's. Of the packaged stream, commands need no option, and its variables are the common ones.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

PACKAGED = "engagement"
"""The stream that comes with the package, which commands are for when they name none."""


def own_name(stream: str, name: str) -> str:
    """Return the name of what each stream has one of: of the packaged stream it is bare, of others behind theirs."""
    return name if stream == PACKAGED else f"{stream}_{name}"


def turn(stream: str, of: int) -> int:
    """Return the minute of `of` in which a stream has its turn, so that not all of them begin at once.

    The packaged one has minute 0.
    """
    return 0 if stream == PACKAGED else 1 + zlib.crc32(stream.encode()) % (of - 1)


GROUPS = ("checkpoint", "dead-letters", "forward", "views", "warehouse")
"""Commands that have commands of their own."""
OF_NO_STREAM = ("alert-test", "demo", "down", "generate", "init", "migrate", "reset", "serve", "stream", "up")
"""Commands that concern no single stream."""

_AIMED = "[a-z-]+(?: [a-z-]+)? --stream"
_COMMAND = re.compile(
    rf"engagement-platform (?!{_AIMED})"
    rf"(?:(?:{'|'.join(GROUPS)}) [a-z][a-z-]*|(?!(?:{'|'.join(OF_NO_STREAM)})(?![a-z-]))[a-z][a-z-]*)"
)
_VARIABLE = re.compile(r"\bENGAGEMENT_[A-Z0-9_]*[A-Z0-9]\b")
_work: ContextVar[tuple[str, Mapping[str, str]]] = ContextVar("work", default=(PACKAGED, {}))


@contextmanager
def about(stream: str, variables: Mapping[str, str]) -> Iterator[None]:
    """Let the commands of texts that are made in the block, in this thread, name the stream.

    `variables` are those that the stream has for itself, by the common ones in whose place they are named.
    """
    token = _work.set((stream, variables))
    try:
        yield
    finally:
        _work.reset(token)


def aimed(text: str) -> str:
    """Return a text whose commands and variables are for the stream that the present work is about."""
    stream, variables = _work.get()
    if stream == PACKAGED:
        return text
    named = _COMMAND.sub(rf"\g<0> --stream {stream}", text)
    return _VARIABLE.sub(lambda match: variables.get(match[0], match[0]), named)


COMMON = "engagement_platform"
"""The schema of the stream `engagement`, and of what belongs to no stream: the heartbeats of Dagster's runs."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def schema_of(stream: str) -> str:
    """Return the schema of the stream of that name, as SQL writes it. Raises ValueError for what is no such name."""
    if not _NAME.fullmatch(stream):
        raise ValueError(f"{stream!r} is not the name of a stream")
    return COMMON if stream == PACKAGED else f"{COMMON}_{stream}"
