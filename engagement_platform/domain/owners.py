"""Who answers for an asset, as Dagster's catalog takes it: an e-mail address, or a team."""

import re

_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
"""No more than Dagster takes."""


def of(text: str) -> tuple[str, ...]:
    """Return the owners of a comma-separated list."""
    return tuple(owner for part in text.split(",") if (owner := part.strip()))


def fault(text: str) -> str | None:
    """Return what is expected where something in a list names no owner; None where all do."""
    strange = [owner for owner in of(text) if not _OWNER.fullmatch(owner)]
    return f"{strange[0]!r} must be an e-mail address or team:name" if strange else None
