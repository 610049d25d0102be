"""The errors that an operator may see. Each says what happened and what to do.

Nothing here names a secret: DSNs are passed through `redact` before they reach a message.
"""

import re

_PASSWORD_IN_URL = re.compile(r"(?P<head>[a-z+0-9]+://[^:/@\s]*:)[^@\s]*(?=@)", re.IGNORECASE)
_PASSWORD_IN_DSN = re.compile(r"(?P<head>password\s*=\s*)('[^']*'|\S+)", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` with the passwords of URLs and key=value DSNs replaced by ***."""
    return _PASSWORD_IN_DSN.sub(r"\g<head>***", _PASSWORD_IN_URL.sub(r"\g<head>***", text))


class EngagementError(Exception):
    """A failure that a person should read: what happened, and what to do about it."""

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = redact(what)
        self.todo = redact(todo)
        super().__init__(f"{self.what} {self.todo}".strip())


class SettingsError(EngagementError):
    """A setting is missing or has a value that cannot be used."""


class StreamStopped(EngagementError):
    """Going on could lose or double events, so the stream stands still until a person decides."""


class Unavailable(EngagementError):
    """A server does not answer. The loops wait with backoff and try again."""


class Superseded(EngagementError):
    """Another run holds the lease now. This one ends, successfully."""
