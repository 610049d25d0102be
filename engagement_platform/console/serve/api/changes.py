"""The record of changes: who changed what through the page and the API, when, and how it ended."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engagement_platform.adapters.platform.audit import Audit, Change
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.console.serve.api.operation import PREFIX, Asked, OfStream, Operation, settings_of
from engagement_platform.console.serve.api.times import told
from engagement_platform.settings import about

Action = Literal["backfill", "discard", "pause", "redrive", "resume", "test_delivery"]
MOST = 500


class ChangesParameters(OfStream, frozen=True, kw_only=True):
    """Which changes are meant."""

    action: Annotated[Action | UnsetType, Meta(description="By default all.")] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MOST, description="How many are listed, at most.")] = 100


class ChangeNow(msgspec.Struct, frozen=True):
    """One change, which was noted before it was made."""

    number: int
    begun_at: datetime
    who: Annotated[str, Meta(description="The name that was given, and the address it came from.")]
    action: str
    subject: Annotated[str, Meta(description="To what it was done: a loop, days, letters.")]
    detail: dict[str, Any]
    ended_at: Annotated[datetime | None, Meta(description="Null while it runs, and where its process ended meanwhile.")]
    outcome: str | None


class ChangesNow(msgspec.Struct, frozen=True):
    """The newest changes, the newest first."""

    stream: str
    changes: list[ChangeNow]


def changes(asked: Asked[ChangesParameters, None]) -> ChangesNow:
    """Return the newest changes."""
    settings = settings_of(asked.site, asked.parameters.stream)
    with about(settings.stream):
        ensure_schema(settings)
        with Audit.opened(settings, "page") as audit:
            found = audit.latest(asked.parameters.limit, told(asked.parameters.action))
    return ChangesNow(settings.stream, [_now(one) for one in found])


def _now(one: Change) -> ChangeNow:
    return ChangeNow(
        one.number, one.begun_at, one.who, one.action, one.subject, dict(one.detail), one.ended_at, one.outcome
    )


OPERATIONS = (
    Operation(
        "GET", f"{PREFIX}/changes", "changes", "Who changed what through the page and the API, when, and how it ended",
        ChangesNow, changes, ChangesParameters,
    ),
)  # fmt: skip
