"""Who changed what through the page and the API, as rows in the platform's database."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.errors import EngagementError, redact

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "audit.sql")


@dataclass(frozen=True, slots=True)
class Change:
    """One change."""

    number: int
    begun_at: datetime
    who: str
    """The name given at the login or with the request, and the address it came from."""
    action: str
    """What was done, as a word that stays: redrive, discard, backfill, pause, resume, test_delivery."""
    subject: str
    """To what: a loop, days, letters."""
    detail: Mapping[str, Any]
    ended_at: datetime | None
    outcome: str | None
    """How it ended; None while it runs, and where that could not be noted: the process, or the database, was gone."""


@dataclass
class Outcome:
    """How a change ended, as the block that makes it says."""

    text: str = "done"


class Audit(Store):
    """The table of changes."""

    @contextmanager
    def recorded(self, who: str, action: str, subject: str, **detail: object) -> Iterator[Outcome]:
        """Note a change before the block makes it, and behind it how it ended: what the block says, or its error.

        Raises Unavailable before the block runs, where nothing can be noted: then nothing is changed either. Behind
        the block the change is made, or has its own error, so a record that cannot be ended is only logged.
        """
        row = self.session.one(_SQL["begin"], who=who, action=action, subject=subject, detail=Jsonb(detail))
        assert row is not None, "an insert returns its row"  # noqa: S101
        outcome = Outcome()
        try:
            yield outcome
        except BaseException as error:
            outcome.text = f"failed: {redact(str(error)) or type(error).__name__}"
            raise
        finally:
            self._end(row["number"], f"{action} of {subject}", outcome.text)

    def _end(self, number: int, what: str, outcome: str) -> None:
        try:
            self.session.execute(_SQL["end"], number=number, outcome=outcome)
        except EngagementError as error:
            log.warning("How the %s ended is not recorded (%s): %s", what, outcome, error)

    def latest(self, n: int, action: str | None = None) -> list[Change]:
        """Return the newest `n` changes, of an action or of all; the newest first."""
        return self.session.objects(Change, _SQL["latest"], n=n, action=action)
