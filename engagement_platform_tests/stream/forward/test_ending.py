"""The end of a run does not wait for a partner without limit."""

import threading
import time

import pytest
from pydantic import SecretStr

from engagement_platform.local.receiver import Receiver
from engagement_platform.stream.forward import deliveries
from engagement_platform.stream.forward import loop as forward
from engagement_platform_tests.adapters.partner import raw
from engagement_platform_tests.stream.forward.conftest import To
from engagement_platform_tests.stream.forward.support import letter_ids, publish, received
from engagement_platform_tests.streaming import drain, running, wait_for


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000])
def test_a_run_ends_beside_a_partner_that_never_ends_its_answer(
    to: To, receiver: Receiver, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "END_SECONDS", 0.3)
    publish(to(), range(30))
    done = threading.Event()
    with raw.speaking(lambda number: raw.slowly(head, 0.5, done)) as url:
        slow = to(api_url=SecretStr(url), api_read_timeout_seconds=300, api_batch_size=1, api_retry_seconds=0)
        with running(forward.run, slow) as control:
            wait_for(lambda: control.progress.detail.get("in_flight"), "requests under way")
            began = time.monotonic()
        assert time.monotonic() - began < 5
        done.set()
    drain(forward.run, to())
    assert received(receiver) == set(range(30))
    assert not letter_ids(to()), "the end of a run is no event's fault"
