"""A partner, and a webhook, of a private authority that may ask for a certificate; and what is not agreed on."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.alerts.webhook import Webhook
from engagement_platform.adapters.partner.client import Partner, reach
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Verdict
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Alerting
from engagement_platform_tests.alert_receiver import AlertReceiver
from engagement_platform_tests.certificates import PASSWORD, Authority
from engagement_platform_tests.partner import message, partner_settings
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.terminator import terminated

EVENTS = [(1, message(1))]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "stranger")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def post(port: int, host: str = "127.0.0.1", **changes: Any) -> Answer | NoAnswer:
    settings = partner_settings(f"https://{host}:{port}/events", **changes)
    with closing(Partner(settings.api)) as partner:
        return partner.post(EVENTS)


def looked(port: int, host: str = "127.0.0.1", scheme: str = "https", **changes: Any) -> str:
    """Return what to do, as doctor says it; empty where all is well."""
    try:
        reach(partner_settings(f"{scheme}://{host}:{port}/events", **changes).api)
    except EngagementError as error:
        return error.todo if "do not agree on TLS" in error.what else error.what
    return ""


def is_for_a_person(answer: Answer | NoAnswer, said: str) -> bool:
    return isinstance(answer, NoAnswer) and answer.for_a_person and said in answer.reason


def test_a_private_authority_is_trusted_and_no_other_name_or_time(
    receiver: Receiver, authority: Authority, stranger: Authority
) -> None:
    with terminated(receiver.port, authority.server()) as port:
        ours: dict[str, Any] = {"api_ca_file": authority.file}
        assert isinstance(post(port, **ours), Answer)
        assert looked(port, **ours) == ""
        assert is_for_a_person(post(port, api_ca_file=stranger.file), "not trusted")
        assert looked(port, api_ca_file=stranger.file).startswith("Let ENGAGEMENT_API_CA_FILE name the file")
        assert is_for_a_person(post(port, "localhost", **ours), "Hostname mismatch")
        assert looked(port, "localhost", **ours).startswith("Let ENGAGEMENT_API_URL have a name")
        assert looked(port, scheme="http").startswith("Let the beginning of ENGAGEMENT_API_URL say")
    with terminated(receiver.port, authority.server("late", days=-1)) as port:
        assert is_for_a_person(post(port, **ours), "expired")
        assert looked(port, **ours).startswith("Renew the certificate")
    assert is_for_a_person(post(receiver.port, **ours), "TLS fails")
    assert looked(receiver.port, **ours).startswith("Let the beginning of ENGAGEMENT_API_URL say")


def is_refused(port: int, changes: dict[str, Any]) -> bool:
    return is_for_a_person(post(port, **changes), "TLS fails")


def test_a_partner_may_ask_for_a_certificate(receiver: Receiver, authority: Authority, stranger: Authority) -> None:
    with terminated(receiver.port, authority.server(), clients=authority.file) as port:
        ours: dict[str, Any] = {"api_ca_file": authority.file}
        certified: dict[str, Any] = {**ours, "api_client_cert_file": authority.client("ours")}
        assert isinstance(post(port, **certified), Answer)
        assert looked(port, **certified) == ""
        for wrong in (ours, {**ours, "api_client_cert_file": stranger.client("theirs")}):
            # What the client writes behind the handshake can cross the refusal, and lose it: then the connection broke.
            wait_for(partial(is_refused, port, wrong), "the refusal")
            assert looked(port, **wrong).startswith("Let ENGAGEMENT_API_CLIENT_CERT_FILE name a certificate")


def test_a_key_that_is_encrypted_is_told_and_not_asked_for(authority: Authority) -> None:
    file = authority.client("locked", password=PASSWORD)
    with pytest.raises(SettingsError, match="ENGAGEMENT_API_CLIENT_CERT_FILE cannot be used as a certificate"):
        post(1, api_client_cert_file=file)


def told(port: int, **changes: Any) -> tuple[Verdict, str]:
    url = SecretStr(f"https://127.0.0.1:{port}/hook")
    with Webhook(Alerting.model_validate({"alert_url": url, **changes})) as webhook:
        outcome = webhook.post("alert_1", {"what": "x"})
    return outcome.verdict, outcome.reason


def test_the_webhook_of_alerts_likewise(authority: Authority, stranger: Authority) -> None:
    with (
        AlertReceiver() as hook,
        terminated(urlsplit(hook.url).port or 0, authority.server(), clients=authority.file) as port,
    ):
        ours = {"alert_ca_file": authority.file}
        certified = {**ours, "alert_client_cert_file": authority.client("ours")}
        assert told(port, **certified)[0] is Verdict.DELIVERED
        verdict, reason = told(port, **certified | {"alert_ca_file": stranger.file})
        assert (verdict, "not trusted" in reason) == (Verdict.STOP, True)
        verdict, reason = told(port, **ours)
        assert (verdict, "TLS fails" in reason) == (Verdict.STOP, True)
