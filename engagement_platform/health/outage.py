"""Tells that the platform's database, or Dagster's daemon, is away: what cannot be kept there, or not told from there.

What is remembered is a text that the caller keeps: the sensor with its cursor, in Dagster's storage; the page, which is
there also when Dagster is not, in a file. An alert is sent at once, and remembered only once it is delivered.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from engagement_platform.domain.alerts import Memory, Watch, look, not_told
from engagement_platform.domain.conditions import Condition, Kind
from engagement_platform.domain.delivery.outcome import Verdict
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.judgement.dagster import KINDS
from engagement_platform.domain.judgement.stream import unreadable
from engagement_platform.health.alerts import failed, message
from engagement_platform.settings import Alerting

LOOK_SECONDS = 10.0
"""How often the page looks."""

FILE = "alerts.json"
"""In the state folder."""


def unreadable_all(error: EngagementError | None, now: float) -> list[Condition]:
    """Return the condition of a platform of which nothing can be read, for its database is away, say; none else."""
    return [] if error is None else [unreadable("", error, now)]


def _sees_all(_: Condition) -> bool:
    return True


def tell(
    alert: Alerting,
    before: str,
    present: Sequence[Condition],
    now: float,
    sees: Callable[[Condition], bool] = _sees_all,
) -> tuple[str, str]:
    """Tell what has begun or is over since the look that `before` remembers.

    `sees` says whether a condition would be among those present if it were there.
    Returns what is to be remembered, empty where nothing is; and why something could not be told, which is tried again
    at the next look. Raises SettingsError where a key cannot be used.
    """
    watch, alerts = look(_watch(before), present, now, sees)
    failure = ""
    if alerts:
        from engagement_platform.adapters.alerts.webhook import Webhook  # noqa: PLC0415, a client for what is rare

        with Webhook(alert) as webhook:
            for one in alerts:
                outcome = webhook.post(one.id, message(one, alert))
                if outcome.verdict is not Verdict.DELIVERED:
                    watch, failure = not_told(watch, one), failed(webhook.shown, outcome)
    return _text(watch), failure


class OutageAlerts:
    """What the page tells: that Dagster's daemon is silent, that Dagster cannot be read, or the database is away, too.

    The sensor tells all else, and cannot tell this. For one thread.
    """

    def __init__(self, alert: Alerting, state: Path) -> None:
        self._alert = alert
        self._file = state / FILE
        self._remembered = ""
        self._looked_at: float | None = None
        with suppress(OSError):
            self._remembered = self._file.read_text(encoding="utf-8")

    def look(self, present: Sequence[Condition], *, is_dagster_known: bool, now: float) -> str:
        """Look at what is wrong, at most every ten seconds; return why something could not be told.

        `is_dagster_known` says whether Dagster's storage could be read; `now` is in seconds since 1970.
        """
        if self._looked_at is not None and time.monotonic() - self._looked_at < LOOK_SECONDS:
            return ""
        self._looked_at = time.monotonic()
        ours = [one for one in present if _is_ours(one, is_dagster_known=is_dagster_known)]
        if not ours and not self._remembered:
            return ""
        try:
            sees = _sees_all if is_dagster_known else _sees_without_dagster
            remembered, failure = tell(self._alert, self._remembered, ours, now, sees)
            self._keep(remembered)
        except (EngagementError, OSError) as error:
            return str(error)
        return failure

    def _keep(self, remembered: str) -> None:
        if remembered != self._remembered:
            self._remembered = remembered
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside = self._file.with_suffix(".new")
            beside.write_text(remembered, encoding="utf-8")
            beside.replace(self._file)


def _sees_without_dagster(condition: Condition) -> bool:
    return condition.kind not in KINDS


def _is_ours(condition: Condition, *, is_dagster_known: bool) -> bool:
    """Say whether the sensor, which needs Dagster's storage and its daemon of sensors, cannot tell a condition."""
    if condition.kind is Kind.DAEMON_SILENT:
        return "SENSOR" in condition.values.get("daemons", "").split(", ")
    if condition.kind is Kind.DAGSTER_UNREADABLE:
        return True
    return condition.kind is Kind.UNREADABLE and not condition.stream and not is_dagster_known


class _Kept(msgspec.Struct):
    looked_at: float
    memories: list[Memory]


def _watch(text: str) -> Watch | None:
    try:
        kept = msgspec.json.decode(text, type=_Kept)
    except msgspec.MsgspecError:  # empty, or of another version
        return None
    return Watch(kept.looked_at, {memory.condition.key: memory for memory in kept.memories})


def _text(watch: Watch) -> str:
    """Return what is remembered as a text; the time of a look alone is nothing to remember."""
    memories = list(watch.memories.values())
    return msgspec.json.encode(_Kept(watch.looked_at, memories)).decode() if memories else ""
