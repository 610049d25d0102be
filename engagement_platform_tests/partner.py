"""What tests of the partner share: settings that name a receiver, and events as they stand in messages."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from engagement_platform.domain import signing
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform_tests.streams import ENGAGEMENT

SIGNING_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = signing.secrets_of(SIGNING_KEY)


def partner_settings(url: str, **changes: Any) -> Settings:
    """Settings for what needs no servers but the partner."""
    values: dict[str, Any] = {
        "source_dsn": "postgresql://127.0.0.1:1/media",
        "platform_dsn": "postgresql://127.0.0.1:1/platform",
        "api_url": SecretStr(url),
        "api_connect_timeout_seconds": 2,
        "api_read_timeout_seconds": 2,
        "state_dir": Path("/nonexistent"),
    }
    return Settings.of(**values | changes)


def message(number: int, **columns: Any) -> bytes:
    """Return the value of an event's message."""
    fixed = {"id": number, "event_ts": "2026-01-01T00:00:00.000000Z", "raw_payload": None}
    return json.dumps(dict.fromkeys(ENGAGEMENT.names) | fixed | columns).encode()


@contextmanager
def over_tls(certificate: Path) -> Iterator[str]:
    """Run a receiver with a certificate, whose key lies beside it; yield its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with Receiver() as receiver:
        assert receiver._server is not None
        receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
        yield receiver.url.replace("http:", "https:")
