"""What Dagster has of the asset checks: how each came out last, for each day that it has looked at.

Dagster notes a check when a run begins that is to make it, and a run may end without it; and one run looks at one day,
the next at another. So neither the latest note of a check tells how it stands, nor its latest outcome: it has failed
as long as the last outcome of any day has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from engagement_platform.domain import dagster_facts as facts
from engagement_platform.orchestration import private
from engagement_platform.orchestration.private import CheckRecord
from engagement_platform.orchestration.warehouse.days import FAILED_DAYS, FIRST_DAY, LAST_DAY

AGAIN_SECONDS = 60.0
"""How old what is told of a check may be of which Dagster has noted nothing since."""

_MOST_OUTCOMES = 100
"""The latest failures of a check that are looked at, and the latest outcomes of runs over many days."""


@dataclass(frozen=True, slots=True)
class _Known:
    latest: CheckRecord
    at: float
    failures: Sequence[tuple[str, CheckRecord]]


class CheckFacts:
    """Looks at some checks, again and again.

    One query for all of them, and one for each of which Dagster has noted something since, or which was not read for a
    minute; another for each day that failed.
    """

    def __init__(self, instance: dg.DagsterInstance, checks: Mapping[dg.AssetCheckKey, str]) -> None:
        self._instance, self._checks = instance, checks
        self._known: dict[dg.AssetCheckKey, _Known] = {}
        self._over: dict[dg.AssetCheckKey, frozenset[tuple[str, int]]] = {}
        """Check -> days, and numbers of outcomes, that failed and have a later one: they stay so."""

    def read(self, now: float) -> list[facts.Check]:
        """Return the checks, by asset and name. `now` is in seconds since 1970."""
        checks = [self._check(latest, now) for latest in private.latest_checks(self._instance, self._checks)]
        return sorted(checks, key=lambda check: (check.asset, check.name))

    def _check(self, latest: CheckRecord, now: float) -> facts.Check:
        failures = self._failures_of(latest, now)
        shown = failures[0][1] if failures else latest
        status = facts.CheckStatus(latest.status.lower())
        if failures:
            status = facts.CheckStatus.FAILED
        elif status is facts.CheckStatus.FAILED:  # another one was planned before it, and came out after it
            status = facts.CheckStatus.SUCCEEDED
        return facts.Check(
            asset=shown.key.asset_key.to_user_string(),
            name=shown.key.name,
            stream=self._checks.get(shown.key, ""),
            status=status,
            is_error=any(one.is_error for _, one in failures) if failures else shown.is_error,
            at=shown.at,
            partition=failures[0][0] if failures else shown.partition,
            run_id=shown.run_id,
            description=facts.in_one_line(shown.description),
            failed_days=tuple(sorted(day for day, _ in failures if day)),
        )

    def _failures_of(self, latest: CheckRecord, now: float) -> Sequence[tuple[str, CheckRecord]]:
        known = self._known.get(latest.key)
        is_as_it_was = known is not None and known.latest == latest and not latest.is_planned
        if known is None or not is_as_it_was or not 0.0 <= now - known.at < AGAIN_SECONDS:
            known = self._known[latest.key] = _Known(latest, now, self._failures(latest.key))
        return known.failures

    def _failures(self, key: dg.AssetCheckKey) -> list[tuple[str, CheckRecord]]:
        """Return each day that failed when it was last looked at, and that outcome, the latest first.

        The day is empty for a check without days.
        """
        failed = private.outcomes(self._instance, key, _MOST_OUTCOMES, only_failed=True)
        pairs = [(day, one) for one in sorted(failed, key=_order, reverse=True) for day in _failed_days(one)]
        before, over = self._over.get(key, frozenset()), set[tuple[str, int]]()
        of_many_days: Sequence[CheckRecord] | None = None
        failures: dict[str, CheckRecord] = {}
        for day, one in pairs:
            if day in failures or len(failures) == facts.MOST_FAILED:
                continue
            if (day, one.number) not in before:
                if of_many_days is None:
                    of_many_days = private.outcomes(self._instance, key, _MOST_OUTCOMES, day="")
                if not any(_order(later) > _order(one) for later in self._of_day(key, day, of_many_days)):
                    failures[day] = one
                    continue
            over.add((day, one.number))
        self._over[key] = frozenset(over)
        return list(failures.items())

    def _of_day(self, key: dg.AssetCheckKey, day: str, of_many_days: Sequence[CheckRecord]) -> Iterator[CheckRecord]:
        """Yield outcomes of a day, the last one among them."""
        yield from private.outcomes(self._instance, key, 1, day=day or None)
        yield from (one for one in of_many_days if _first_day(one) <= day <= one.texts.get(LAST_DAY, ""))


def _order(record: CheckRecord) -> tuple[float, int]:
    return (record.at or 0.0, record.number)


def _first_day(record: CheckRecord) -> str:
    return record.texts.get(FIRST_DAY, "9999")


def _failed_days(record: CheckRecord) -> list[str]:
    """Return the days that failed; an empty one where none is known."""
    named = record.texts.get(FAILED_DAYS, "")
    return named.split(", ") if named and not record.partition else [record.partition]
