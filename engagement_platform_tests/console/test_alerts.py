"""alert-test, and what doctor says of alerts."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.cli import group
from engagement_platform.console.alert_checks import of_alerts
from engagement_platform.domain.conditions import Condition, Kind, Severity
from engagement_platform.domain.errors import EngagementError
from engagement_platform.health.alerts import deliver, note
from engagement_platform.settings import Settings
from engagement_platform_tests.alert_receiver import AlertReceiver

HOOK = "https://hooks.slack.com/services/T0/B0/secret-of-the-hook"


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE", "PLATFORM"):
        monkeypatch.setenv(f"ENGAGEMENT_{name}_DSN", "postgresql://nobody@127.0.0.1:1/unused")


def send(monkeypatch: pytest.MonkeyPatch, **settings: str) -> tuple[str, BaseException | None]:
    for name, value in settings.items():
        monkeypatch.setenv(f"ENGAGEMENT_ALERT_{name.upper()}", value)
    done = CliRunner().invoke(group, ["alert-test"])
    return done.output, done.exception


def test_a_test_is_sent_in_the_form_of_the_settings(receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    said, _ = send(monkeypatch, url=receiver.url)
    assert "has taken a test, in the form webhook" in said
    assert "secret-of-the-hook" not in said
    send(monkeypatch, url=receiver.url, form="slack")
    webhook, slack = receiver.taken
    assert webhook.body["type"] == "engagement.alert.test"
    assert set(slack.body) == {"text"}
    assert webhook.id != slack.id


def test_a_webhook_that_does_not_take_it_is_said(receiver: AlertReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answers(404, b"no_service")
    _, error = send(monkeypatch, url=receiver.url)
    assert isinstance(error, EngagementError)
    assert "status 404: there is nothing at this address: no_service" in error.what
    assert "secret-of-the-hook" not in str(error)
    monkeypatch.delenv("ENGAGEMENT_ALERT_URL")
    _, error = send(monkeypatch)
    assert "nobody is told" in str(error)


def found(settings: Settings) -> dict[str, str]:
    return {finding.what: finding.level for finding in of_alerts(settings)}


def of(**changed: object) -> Settings:
    away = SecretStr("postgresql://nobody@127.0.0.1:1/unused")
    return Settings.of(source_dsn=away, platform_dsn=away, **changed)


def test_doctor_says_that_nobody_is_told() -> None:
    assert list(found(of()).values()) == ["note"]


def test_doctor_looks_at_the_form_and_shows_nothing_of_the_address() -> None:
    said = found(of(alert_url=SecretStr(HOOK)))
    assert "fault" in said.values()
    assert not any("secret-of-the-hook" in what for what in said)
    assert "fault" not in found(of(alert_url=SecretStr(HOOK), alert_form="slack")).values()
    plain = found(of(alert_url=SecretStr("http://alerts.example/x")))
    assert any("is not https" in what for what, level in plain.items() if level == "warning")
    key = found(of(alert_url=SecretStr(HOOK), alert_form="slack", alert_signing_key=SecretStr("nonsense")))
    assert list(key.values()) == ["fault"]


def test_doctor_says_what_the_webhook_has_not_taken(settings: Settings, receiver: AlertReceiver) -> None:
    told = settings.replace(alert_url=SecretStr(receiver.url))
    receiver.answers(403, b"action_prohibited")
    paused = Condition(Kind.LOOP_PAUSED, Severity.WARNING, "engagement", "stage", 0.0, "stage is paused.")
    with Alerts.opened(told, "test") as alerts:
        note(alerts, [paused], lambda _: True)
        deliver(alerts, told.alert)
    (warning,) = (what for what, level in found(told).items() if level == "warning")
    assert "1 wait for the webhook since" in warning
    assert "status 403" in warning
