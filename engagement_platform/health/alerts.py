"""Remembers what is wrong, and delivers what people are to be told of it: reads and writes, decided by `domain.alerts`.

A message leaves once the platform's database has it. It is sent until its receiver takes it, in order, under one id: a
process that dies between sending and noting it lets it come twice, and a receiver can tell by the id.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engagement_platform.adapters.platform.alerts import Alerts, Waiting
from engagement_platform.domain.alert_messages import Links, as_slack, as_webhook
from engagement_platform.domain.alerts import Alert, gives_up, look
from engagement_platform.domain.conditions import Condition
from engagement_platform.domain.delivery.gate import pause
from engagement_platform.domain.delivery.outcome import Outcome, Verdict
from engagement_platform.settings import Alerting, Settings

if TYPE_CHECKING:
    from engagement_platform.adapters.alerts.webhook import Webhook

AT_ONCE_SECONDS = 10.0
"""For how long messages are sent one after the other before something else has its turn."""
_PAUSE_BEGINS_AT = 5
"""The first pause between tries is that of so many failures: four seconds; the longest is half a minute."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of a turn of delivering."""

    number: int = 0
    """Messages that were delivered."""
    failure: str = ""
    """Why the first of those that wait could not be delivered; empty where none was tried in vain."""


def is_told(settings: Settings) -> bool:
    """Say whether anybody is told."""
    return bool(settings.alert.url.get_secret_value())


def note(
    alerts: Alerts, present: Sequence[Condition], sees: Callable[[Condition], bool], location: str = ""
) -> Sequence[Alert]:
    """Remember what is wrong now; let wait what is to be told, and return it.

    `sees` says whether a condition would be among those present if it were there, `location` whose streams they are.
    Raises Unavailable.
    """
    return alerts.look(lambda watch, now: look(watch, present, now, sees), location)


def deliver(alerts: Alerts, alert: Alerting) -> Delivered:
    """Deliver what waits, in order, until one cannot be, or ten seconds are over. One process does so at a time.

    Raises Unavailable where the platform's database does not answer, and SettingsError where a key cannot be used.
    """
    alerts.bound()
    waiting = alerts.first()
    if waiting is None or waiting.rest_seconds > 0 or not alerts.may_deliver():
        return Delivered()
    from engagement_platform.adapters.alerts.webhook import Webhook  # noqa: PLC0415, an HTTP client for what is rare

    with Webhook(alert) as webhook:
        return _deliver(alerts, alert, webhook)


def _deliver(alerts: Alerts, alert: Alerting, webhook: "Webhook") -> Delivered:
    until, number, failure = time.monotonic() + AT_ONCE_SECONDS, 0, ""
    while time.monotonic() < until and (waiting := alerts.first()) is not None and waiting.rest_seconds <= 0:
        outcome = webhook.post(waiting.alert.id, message(waiting.alert, alert))
        if outcome.verdict is Verdict.DELIVERED:
            alerts.end(waiting, "delivered")
            number += 1
            continue
        failure = failed(webhook.shown, outcome)
        if gives_up(waiting.tries + 1, is_refused=outcome.verdict is Verdict.REFUSED):
            alerts.end(waiting, "refused", failure)
        else:
            alerts.again(waiting, _rest(waiting, outcome), failure)
            break
    return Delivered(number, failure)


def message(one: Alert, alert: Alerting) -> dict[str, object]:
    """Return the body of an alert, in the form of the settings."""
    links = Links(alert.link, alert.dagster_link)
    return as_slack(one, links) if alert.form == "slack" else as_webhook(one, links)


def failed(receiver: str, outcome: Outcome) -> str:
    """Say what the receiver answered."""
    said = f": {outcome.response}" if outcome.response else ""
    return f"{receiver} did not take the alert: {outcome.reason}{said}"


def _rest(waiting: Waiting, outcome: Outcome) -> float:
    return pause(_PAUSE_BEGINS_AT + waiting.tries, outcome.retry_after, 0.0)
