"""engagement-platform alert-test: whether the webhook that is told when something is wrong takes a message."""

import secrets
import time

import click


@click.command("alert-test")
def alert_test() -> None:
    """Send a test to the webhook of ENGAGEMENT_ALERT_URL, in the form of the settings; exit 1 where it is not taken."""
    from engagement_platform.adapters.alerts.webhook import Webhook
    from engagement_platform.adapters.streams import settings_of_location
    from engagement_platform.domain.alert_messages import Links, message_of_a_test
    from engagement_platform.domain.delivery.outcome import Verdict
    from engagement_platform.domain.errors import EngagementError, SettingsError
    from engagement_platform.health.alerts import failed, is_told

    settings = settings_of_location()
    alert = settings.alert
    if not is_told(settings):
        raise SettingsError(f"{alert.variable('url')} is not set: nobody is told.", "Let it name a webhook.")
    message = message_of_a_test(alert.form, Links(alert.link, alert.dagster_link), time.time())
    with Webhook(alert) as webhook:
        outcome = webhook.post(f"alert_test_{secrets.token_hex(8)}", message)
        if outcome.verdict is not Verdict.DELIVERED:
            raise EngagementError(
                f"{failed(webhook.shown, outcome)}.",
                f"See to {alert.variable('url')} and {alert.variable('form')}, and to the way out of this network.",
            )
        click.echo(f"{webhook.shown} has taken a test, in the form {alert.form}.")
