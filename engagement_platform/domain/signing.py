"""Requests that a receiver can verify: keys, ids and signatures by the Standard Webhooks specification.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence

from engagement_platform.domain.stream_names import PACKAGED

SECRET_PREFIX = "whsec_"  # noqa: S105, a prefix that everybody knows
HEADER_ID = "webhook-id"
HEADER_TIMESTAMP = "webhook-timestamp"
HEADER_SIGNATURE = "webhook-signature"
HEADER_IDEMPOTENCY_KEY = "Idempotency-Key"

_MIN_SECRET_BYTES = 24
_MAX_SECRET_BYTES = 64


def event_key(stream: str, event_id: int) -> str:
    """Return the key of an event: the same in every request that carries it, and of no other event of any stream."""
    return f"{stream}-event-{event_id}"


def request_id(stream: str, event_ids: Iterable[int]) -> str:
    """Return the id of a request that carries these events in this order; another selection has another id.

    Those of the packaged stream are without its name, as partners have seen them since there was one stream only.
    """
    ids = ",".join(map(str, event_ids))
    named = ids if stream == PACKAGED else f"{stream}:{ids}"
    return "msg_" + hashlib.sha256(named.encode()).hexdigest()[:40]


def secrets_of(text: str) -> tuple[bytes, ...]:
    """Return the secrets of a text with one or, while a secret is being replaced, several of the form whsec_<base64>.

    Raises ValueError, which repeats nothing of the text.
    """
    secrets = tuple(_secret(word) for word in text.split())
    if not secrets:
        raise ValueError("it is empty")
    return secrets


def _secret(word: str) -> bytes:
    try:
        secret = base64.b64decode(word.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not word.startswith(SECRET_PREFIX) or not _MIN_SECRET_BYTES <= len(secret) <= _MAX_SECRET_BYTES:
        raise ValueError(
            f"it must be {SECRET_PREFIX} and the base64 of {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES} bytes"
        )
    return secret


def signature(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: for each secret one of the form v1,<base64>, with spaces between."""
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    return " ".join("v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)


def is_signed(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes, given: str) -> bool:
    """Say whether one of the signatures given was made with one of the secrets. The time is the caller's to check."""
    expected = signature(secrets, webhook_id, timestamp, body).split()
    matches = [hmac.compare_digest(mine.encode(), theirs.encode()) for mine in expected for theirs in given.split()]
    return any(matches)


def headers(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a request; `timestamp` is the time of this try, in seconds since 1970.

    Without secrets there is no signature.
    """
    named = {HEADER_ID: webhook_id, HEADER_TIMESTAMP: str(timestamp), HEADER_IDEMPOTENCY_KEY: webhook_id}
    return named | ({HEADER_SIGNATURE: signature(secrets, webhook_id, timestamp, body)} if secrets else {})
