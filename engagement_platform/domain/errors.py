"""The errors that an operator may see. Each says what happened and what to do.

Nothing here names a secret: DSNs are passed through `redact` before they reach a message.
"""

import re

from engagement_platform.domain.stream_names import aimed

# In a password anything may stand, @ and / too, so all up to the last @ of the line is taken for it.
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*:/+[^:\s]*:(?P<secret>[^\n]*)@", re.IGNORECASE)
_PASSWORD_IN_DSN = re.compile(
    r"(?:password|secret)\s*=\s*(?P<secret>\\?'(?:[^'\\]|\\.)*(?:'\S*|\\?\Z)|(?:\\.|\S)*)",
    re.IGNORECASE | re.DOTALL,
)


def redact(text: str) -> str:
    """Return `text` with the passwords of URLs and key=value DSNs replaced by ***; rather too much than too little.

    Both kinds are looked for in the text as it came: what hides one password may be what marks the other.
    """
    shown, end = [], 0
    spans = (match.span("secret") for kind in (_PASSWORD_IN_URL, _PASSWORD_IN_DSN) for match in kind.finditer(text))
    for begin, after in sorted(spans):
        if begin >= end:
            shown += [text[end:begin], "***"]
        end = max(end, after)
    return "".join([*shown, text[end:]])


class EngagementError(Exception):
    """A failure that a person should read: what happened, and what to do about it.

    Commands in it name the stream that the present work is about (`stream_names.about`).
    """

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = aimed(redact(what))
        self.todo = aimed(redact(todo))
        super().__init__(f"{self.what} {self.todo}".strip())


class SettingsError(EngagementError):
    """A setting is missing or has a value that cannot be used."""


class StreamStopped(EngagementError):
    """Going on could lose or double events, so the stream stands still until a person decides."""


class Unavailable(EngagementError):
    """A server does not answer. The loops wait with backoff and try again.

    `server` names it as the middle of a sentence can: "Redis at localhost:6379".
    """

    def __init__(self, what: str, todo: str = "", *, server: str = "") -> None:
        super().__init__(what, todo)
        self.server = redact(server)


class Refused(Unavailable):
    """A server answers, and refuses the login or a right: a person has to act. The loops try again all the same."""


class Superseded(EngagementError):
    """Another run holds the lease now. This one ends, successfully."""
