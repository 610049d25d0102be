"""What the record of changes says, in the language of who reads it: it is kept in one form for all."""

import re

from engagement_platform.console.serve.texts import Texts

_OUTCOMES = {
    "done": r"done",
    "as_before": r"was so before",
    "failed": r"failed: (?P<said>.*)",
    "redriven": r"(?P<done>\d+) letters redriven, (?P<failed>\d+) cannot be",
    "sent": r"(?P<done>\d+) letters redriven, (?P<failed>\d+) cannot be, (?P<others>\d+) events sent",
    "discarded": r"(?P<done>\d+) letters discarded",
    "started": r"started: backfill (?P<said>\S+)",
}
"""Text below `changes.ended` -> the outcomes that it says."""


def action(texts: Texts, name: str) -> str:
    """Return what was done; of an action that has no text its own word."""
    key = f"changes.action.{name}"
    return texts(key) if texts.has(key) else name


def outcome(texts: Texts, kept: str | None) -> str:
    """Return how a change ended. What a server said within it stays as the server said it."""
    if kept is None:
        return texts("changes.open")
    for name, pattern in _OUTCOMES.items():
        if found := re.fullmatch(pattern, kept, re.DOTALL):
            return texts(f"changes.ended.{name}", **{k: texts.isolated(v) for k, v in found.groupdict().items()})
    return texts.isolated(kept)
