import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from engagement_platform.adapters.partner.client import Partner
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.local.state import choose_port
from engagement_platform_tests.partner import SIGNING_KEY, message, partner_settings
from engagement_platform_tests.streaming import wait_for


@pytest.fixture
def process() -> Iterator[tuple[int, int]]:
    ports = choose_port(None, None), choose_port(None, None)
    command = [sys.executable, "-m", "engagement_platform.local.receiver", "--signing-key", SIGNING_KEY]
    with subprocess.Popen([*command, "--port", str(ports[0]), "--control-port", str(ports[1])]) as receiver:
        try:
            wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", ports[1])) == 0, "the receiver to listen")
            yield ports
        finally:
            receiver.terminate()
            assert receiver.wait(10) == 0


def test_a_process_is_controlled_over_a_port_of_its_own(process: tuple[int, int]) -> None:
    port, control = process
    at = f"http://127.0.0.1:{control}"
    settings = partner_settings(f"http://127.0.0.1:{port}/events", api_signing_key=SIGNING_KEY)
    with closing(Partner(settings.api)) as partner:
        events = [(1, message(1, content_id="a")), (2, message(2))]
        assert partner.post(events) == Answer(200, excerpt='{"mode":"ok"}')
        lines = requests.get(f"{at}/deliveries", params={"after": 1}, timeout=5).text.splitlines()
        assert len(lines) == 1
        assert '"engagement-event-2",null,"msg_' in lines[0]
        assert requests.post(f"{at}/behaviour", json={"mode": "error", "status": 503}, timeout=5).status_code == 204
        assert isinstance(found := partner.post(events), Answer)
        assert found.status == 503
        assert requests.post(f"{at}/behaviour", json={"mood": "bad"}, timeout=5).status_code == 400
        assert requests.post(f"{at}/down", timeout=5).status_code == 204
        assert isinstance(partner.post(events), NoAnswer)
        assert requests.post(f"{at}/up", timeout=5).status_code == 204
        assert isinstance(partner.post(events), Answer)
        state = requests.get(f"{at}/state", timeout=5).json()
        assert state.pop("connections") >= 2
        assert state == {"requests": 3, "events": 2, "unsigned": 0, "malformed": 0, "largest": 2}


def test_a_random_mix_is_the_same_with_the_same_seed() -> None:
    def statuses(seed: int) -> dict[int, int]:
        with Receiver() as receiver, closing(Partner(partner_settings(receiver.url).api)) as partner:
            receiver.behave(Behaviour("mix", seed=seed, share=0.7, seconds=0, faults=("error", "throttle", "garbage")))
            for number in range(40):
                partner.post([(number, message(number))])
            return dict(receiver.statuses)

    assert statuses(1) == statuses(1) != statuses(2)
    assert set(statuses(1)) == {200, 429, 500}


def test_it_takes_5000_events_a_second_in_arrays_of_200() -> None:
    with Receiver() as receiver, closing(Partner(partner_settings(receiver.url).api)) as partner:
        batches = [
            [(n, message(n, content_id="c", title="x" * 100)) for n in range(i * 200, i * 200 + 200)] for i in range(25)
        ]
        began = time.monotonic()
        for batch in batches:
            assert isinstance(found := partner.post(batch), Answer)
            assert found.status == 200
        assert time.monotonic() - began < 1.0
        assert receiver.state.events == 5000


def test_a_request_whose_sender_dies_in_the_middle_is_none() -> None:
    with Receiver() as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port)) as sender:
            sender.sendall(b"POST /events HTTP/1.1\r\nContent-Length: 100\r\n\r\n[{")
        with closing(Partner(partner_settings(receiver.url).api)) as partner:
            wait_for(lambda: receiver.state.connections == 1, "the sender to be seen")
            partner.post([(1, message(1))])
        assert (receiver.state.requests, receiver.state.malformed) == (1, 0)
