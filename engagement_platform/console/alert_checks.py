"""What doctor looks at of alerts: whether anybody is told, in the right form, and whether the webhook takes them."""

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from engagement_platform.adapters.alerts.webhook import Webhook
from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.console.finding import Finding
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.domain.loop_state import clock
from engagement_platform.health.alerts import is_told
from engagement_platform.settings import Alerting, Settings

_SLACK = ("hooks.slack.com", "hooks.slack-gov.com")
_HERE = ("localhost", "127.0.0.1", "::1")


def of_alerts(settings: Settings) -> Iterator[Finding]:
    """Look at the settings of alerts and at what waits. Sends nothing."""
    alert = settings.alert
    if not is_told(settings):
        told = f"alerts: {alert.variable('url')} is not set, and nobody is told when something is wrong"
        yield Finding("note", told, "Let it name a webhook, then: engagement-platform alert-test")
        return
    try:
        with Webhook(alert) as webhook:
            yield Finding("ok", f"alerts: told to {webhook.shown}, in the form {alert.form}")
    except SettingsError as error:
        yield Finding("fault", error.what, error.todo)
        return
    yield from _form(alert)
    yield from _waiting(settings)


def _form(alert: Alerting) -> Iterator[Finding]:
    address = urlsplit(alert.url.get_secret_value())
    form = alert.variable("form")
    if address.hostname in _SLACK and alert.form != "slack":
        yield Finding("fault", f"alerts: the webhook is Slack's, and {form} is {alert.form}", f"Set {form}=slack")
    if address.scheme == "http" and address.hostname not in _HERE:
        told = f"alerts: {alert.variable('url')} is not https, so who listens on the way can read them"
        yield Finding("warning", told, "Use https where the webhook offers it.")
    if not alert.link:
        told = f"alerts: {alert.variable('link')} is not set, and they have no link to the page"
        yield Finding("note", told, "Let it be the address of the page as people reach it.")


def _waiting(settings: Settings) -> Iterator[Finding]:
    """Tell what the webhook has not taken. A database that does not answer has a finding of its own."""
    with suppress(EngagementError), Alerts.opened(settings, "doctor") as alerts:
        standing = alerts.standing()
        if standing.waiting and standing.answer:
            since = clock(standing.since or 0.0)
            told = f"alerts: {standing.waiting} wait for the webhook since {since}: {standing.answer}"
            yield Finding("warning", told, "They are sent again. Try it: engagement-platform alert-test")
        if standing.given_up:
            told = f"alerts: {standing.given_up} of the last day were given up, for nobody took them"
            yield Finding("warning", told, "Try it: engagement-platform alert-test")
