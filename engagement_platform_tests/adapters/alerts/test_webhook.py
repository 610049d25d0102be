"""The webhook of alerts, over a real server."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.alerts.webhook import Webhook
from engagement_platform.domain import signing
from engagement_platform.domain.delivery.outcome import Outcome, Verdict
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Alerting, SecretFile
from engagement_platform_tests.alert_receiver import PATH, AlertReceiver

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as made:
        yield made


def alerting(url: str, **changes: object) -> Alerting:
    return Alerting.model_validate({"alert_url": SecretStr(url), **changes})


def post(url: str, **changes: object) -> Outcome:
    with Webhook(alerting(url, **changes)) as webhook:
        return webhook.post("alert_1", {"what": "Überall."})


def test_a_message_is_json_under_its_id_and_signed_as_the_partners_requests_are(receiver: AlertReceiver) -> None:
    assert post(receiver.url, alert_signing_key=SecretStr(KEY)).verdict is Verdict.DELIVERED
    (received,) = receiver.taken
    assert received.body == {"what": "Überall."}
    assert (received.id, received.headers["content-type"]) == ("alert_1", "application/json")
    assert received.is_signed(signing.secrets_of(KEY))
    assert not received.is_signed([b"another key of the same length.."])


def test_without_a_key_it_is_not_signed(receiver: AlertReceiver) -> None:
    post(receiver.url)
    assert signing.HEADER_SIGNATURE not in receiver.taken[0].headers


def test_the_key_may_be_in_a_file(receiver: AlertReceiver, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    post(receiver.url, alert_signing_key=SecretFile("ENGAGEMENT_ALERT_SIGNING_KEY", file))
    assert receiver.taken[0].is_signed(signing.secrets_of(KEY))


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (204, Verdict.DELIVERED),
        (302, Verdict.STOP),
        (400, Verdict.REFUSED),
        (404, Verdict.STOP),
        (429, Verdict.AGAIN),
        (500, Verdict.AGAIN),
    ],
)
def test_an_answer_says_whether_to_try_again(receiver: AlertReceiver, status: int, verdict: Verdict) -> None:
    receiver.answers(status, b"no_service", {"Retry-After": "7", "Location": "/else"})
    outcome = post(receiver.url)
    assert (outcome.verdict, outcome.status) == (verdict, status)
    assert outcome.retry_after == (7.0 if verdict is Verdict.AGAIN else None)


def test_what_is_told_of_a_failure_holds_nothing_of_the_address(receiver: AlertReceiver) -> None:
    receiver.answers(403, f"no hook at {PATH}?token=s3cretvalue".encode())
    told = post(f"{receiver.url}?token=s3cretvalue")
    assert "secret-of-the-hook" not in f"{told.reason} {told.response}"
    assert "s3cretvalue" not in f"{told.reason} {told.response}"
    receiver.down()
    assert "secret-of-the-hook" not in post(receiver.url).reason
    with Webhook(alerting(receiver.url)) as webhook:
        assert webhook.shown == receiver.url.removesuffix(PATH)


def test_nobody_there_is_tried_again() -> None:
    outcome = post("http://127.0.0.1:1/hook")
    assert (outcome.verdict, outcome.status) == (Verdict.AGAIN, None)
    assert "refused" in outcome.reason.lower()


def test_a_key_that_is_none_is_said_before_anything_is_sent(receiver: AlertReceiver) -> None:
    with pytest.raises(SettingsError, match="ENGAGEMENT_ALERT_SIGNING_KEY"):
        post(receiver.url, alert_signing_key=SecretStr("hunter2hunter2"))
    with pytest.raises(SettingsError, match="ENGAGEMENT_ALERT_CA_FILE"):
        post(receiver.url, alert_ca_file=Path("/nowhere"))
