from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka import consumer
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY

To = Callable[..., Settings]
"""Returns settings whose partner is the receiver, with changes."""


@pytest.fixture(autouse=True)
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "REFRESH_MS", 500)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRETS) as receiver:
        yield receiver


@pytest.fixture
def to(settings: Settings, receiver: Receiver) -> To:
    def changed(**changes: Any) -> Settings:
        ours = {
            "api_url": SecretStr(receiver.url),
            "api_signing_key": SecretStr(SIGNING_KEY),
            "api_read_timeout_seconds": 1.0,
            "api_probe_seconds": 0.2,
            "forward_group": f"forward-{settings.topics.events}",
        }
        return settings.replace(**ours | changes)

    return changed
