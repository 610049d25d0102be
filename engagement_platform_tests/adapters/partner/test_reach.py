"""What doctor asks about the partner."""

from pathlib import Path
from typing import Any

import pytest

from engagement_platform.adapters.partner.client import reach
from engagement_platform.domain.errors import EngagementError, SettingsError, Unavailable
from engagement_platform.local.receiver import Receiver
from engagement_platform_tests.partner import over_tls, partner_settings
from engagement_platform_tests.passwords import CANARY


def look(url: str, **changes: Any) -> str:
    return reach(partner_settings(url, **changes).api)


def test_a_partner_that_answers_gets_no_request() -> None:
    with Receiver() as receiver:
        assert (
            look(f"{receiver.url}?key={CANARY}") == f"the partner's API answers: {receiver.url.removesuffix('/events')}"
        )
        assert receiver.state.requests == 0


def test_a_partner_that_is_away_names_the_setting_and_no_secret() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1, port 1: Connection refused") as raised:
        look(f"https://127.0.0.1:1/hooks/{CANARY}")
    assert "ENGAGEMENT_API_URL" in raised.value.todo
    assert CANARY not in f"{raised.value} {raised.value.todo}"


def test_a_certificate_is_looked_at(certificate: Path) -> None:
    with over_tls(certificate) as url:
        with pytest.raises(EngagementError, match="not trusted") as raised:
            look(url)
        assert "ENGAGEMENT_API_CA_FILE" in raised.value.todo
        assert url.removesuffix("/events") in look(url, api_ca_file=certificate)


def test_with_a_proxy_it_is_the_proxy_that_is_looked_at() -> None:
    with Receiver() as proxy:
        found = look("https://partner.invalid/events", api_proxy=f"http://user:{CANARY}@127.0.0.1:{proxy.port}")
    assert found == f"the proxy for the partner's API answers: 127.0.0.1, port {proxy.port}"
    with pytest.raises(Unavailable) as raised:
        look("https://partner.invalid/events", api_proxy=f"http://user:{CANARY}@127.0.0.1:1")
    assert "ENGAGEMENT_API_PROXY" in raised.value.todo
    assert CANARY not in f"{raised.value} {raised.value.todo}"


def test_a_secret_that_cannot_be_used_is_found() -> None:
    with Receiver() as receiver, pytest.raises(SettingsError, match="ENGAGEMENT_API_SIGNING_KEY"):
        look(receiver.url, api_signing_key="whsec_no")
