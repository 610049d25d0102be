"""Requests one after the other to a partner made of bytes: none gets the answer of another, and none lasts for ever."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement_platform.adapters.partner.client import Partner
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer
from engagement_platform_tests.adapters.partner import raw
from engagement_platform_tests.adapters.partner.test_replies import HINTS, NO, OK
from engagement_platform_tests.partner import message, over_tls, partner_settings

EVENTS = [(7, message(7, content_id="c"))]


def posts(answer: Callable[[int], raw.Answer], times: int, **changes: Any) -> list[int | None]:
    """Return the statuses of requests, one after the other; None for no answer."""
    with raw.speaking(answer) as url, closing(Partner(partner_settings(url, **changes).api)) as partner:
        return [found.status if isinstance(found := partner.post(EVENTS), Answer) else None for _ in range(times)]


def test_an_informational_answer_is_read_over() -> None:
    answers = [HINTS + OK, HINTS + NO, HINTS * 2 + OK, NO]
    assert posts(lambda number: answers[number], 4) == [200, 422, 200, 422]


@pytest.mark.parametrize(
    "first",
    [
        NO + OK,
        NO + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 38\r\n\r\n" + OK,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 0\r\n\r\n" + OK,
        b"HTTP/1.1 204 Nothing\r\nContent-Length: 38\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + OK,
        b"HTTP/1.1 422 No\r\nContent-Length: 0x0\r\n\r\n" + OK,
        b"HTTP/1.1 422 No\r\n\r\n" + OK,
    ],
)
def test_what_follows_an_answer_is_never_the_answer_to_the_next_request(first: bytes) -> None:
    """The second request is refused; a success in its place would be one that the first answer left behind."""
    found = posts(lambda number: NO if number else first, 2, api_read_timeout_seconds=1)
    assert found[0] in (422, 204, None)
    assert found[1] == 422


def test_a_second_answer_that_comes_late_is_not_the_next_ones() -> None:
    sent = threading.Event()

    def twice(connection: socket.socket) -> None:
        connection.sendall(NO)
        connection.sendall(OK)
        sent.set()

    with (
        raw.speaking(lambda number: NO if number else twice) as url,
        closing(Partner(partner_settings(url).api)) as partner,
    ):
        first = partner.post(EVENTS)
        assert isinstance(first, Answer)
        assert first.status == 422
        assert sent.wait(5)
        second = partner.post(EVENTS)
        assert isinstance(second, Answer)
        assert second.status == 422


def test_an_answer_before_the_request_is_not_believed_on_a_used_connection() -> None:
    """What lies in the connection when the request is about to leave is nobody's, or an earlier request's."""
    from engagement_platform.adapters.partner import connection as module

    with (
        raw.speaking(lambda number: OK) as url,
        closing(Partner(partner_settings(url).api)) as partner,
        pytest.MonkeyPatch.context() as patched,
    ):
        assert isinstance(partner.post(EVENTS), Answer)
        patched.setattr(module, "_arrived", lambda _: OK)
        assert partner.post(EVENTS) == NoAnswer("it answered before it had the request")


def test_a_success_before_the_request_could_be_sent_is_none() -> None:
    """The partner reads the head only, answers and closes: it cannot have taken what it has not read."""
    large = [(number, message(number, title="x" * 60_000)) for number in range(200)]

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1_000)
            connection.sendall(OK)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with closing(Partner(partner_settings(url).api)) as partner:
            assert isinstance(partner.post(large), NoAnswer)


DRIPPING = {
    "its head": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: " + b"x" * 1_000,
    "its status line": b"HTTP/1.1 200 " + b"O" * 1_000,
    "informational answers": HINTS * 30,
}


@pytest.mark.parametrize("name", DRIPPING)
def test_one_deadline_holds_for_the_whole_answer(name: str) -> None:
    done = threading.Event()
    began = time.monotonic()
    with (
        raw.speaking(lambda number: raw.slowly(DRIPPING[name], 0.05, done)) as url,
        closing(Partner(partner_settings(url, api_read_timeout_seconds=0.5).api)) as partner,
    ):
        assert partner.post(EVENTS) == NoAnswer("no whole answer within 0.5 s")
        done.set()
    assert time.monotonic() - began < 2


def test_the_deadline_holds_for_a_partner_that_takes_a_request_byte_by_byte() -> None:
    large = [(number, message(number, title="x" * 60_000)) for number in range(200)]
    done = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while not done.wait(0.02):
                connection.recv(1)

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with closing(Partner(partner_settings(url, api_read_timeout_seconds=0.5).api)) as partner:
            began = time.monotonic()
            assert partner.post(large) == NoAnswer("no whole answer within 0.5 s")
            assert time.monotonic() - began < 2
        done.set()


def test_the_deadline_holds_for_a_proxys_answer_to_connect() -> None:
    done = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1_000)
            raw.slowly(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, 0.05, done)(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=serve, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        changes: dict[str, Any] = {"api_proxy": proxy, "api_read_timeout_seconds": 0.5}
        with closing(Partner(partner_settings("https://partner.invalid/", **changes).api)) as partner:
            began = time.monotonic()
            assert partner.post(EVENTS) == NoAnswer("no whole answer within 0.5 s")
            assert time.monotonic() - began < 2
        done.set()


def test_requests_under_way_can_be_ended_from_outside() -> None:
    done, asked = threading.Event(), threading.Event()

    def silent(_: socket.socket) -> None:
        asked.set()
        done.wait(30)

    with (
        raw.speaking(lambda number: silent) as url,
        closing(Partner(partner_settings(url, api_read_timeout_seconds=300).api)) as partner,
    ):
        found: list[Answer | NoAnswer] = []
        thread = threading.Thread(target=lambda: found.append(partner.post(EVENTS)))
        thread.start()
        assert asked.wait(10)
        partner.abort()
        thread.join(5)
        assert found == [NoAnswer("the run ends")]
        assert partner.post(EVENTS) == NoAnswer("the run ends")
        done.set()


def test_connections_over_tls_are_kept_and_what_comes_early_is_noticed(certificate: Path) -> None:
    """Tickets of TLS 1.3 come before the first answer, and are none."""
    with (
        over_tls(certificate) as url,
        closing(Partner(partner_settings(url, api_ca_file=certificate).api)) as partner,
    ):
        for _ in range(3):
            found = partner.post(EVENTS)
            assert isinstance(found, Answer)
            assert found.status == 200
    assert ssl.HAS_TLSv1_3


@pytest.mark.parametrize("location", [b"http://[", b"//[::1", b"http://h:99999999/", b"\xff\xfe"])
def test_a_redirect_that_cannot_be_read_is_one_all_the_same(location: bytes) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
    assert posts(lambda number: answer, 1) == [302]


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip"])
def test_what_is_compressed_is_not_unpacked(coding: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08" % coding
    assert posts(lambda number: answer, 2) == [200, 200]


informational = st.lists(
    st.sampled_from([HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n"]), max_size=3
)
final = st.builds(
    lambda status, framing, body: (status, b"HTTP/1.1 %d X\r\n%s\r\n%s" % (status, *framing(body))),
    st.sampled_from([200, 204, 302, 401, 422, 500]),
    st.sampled_from(
        [
            lambda body: (b"Content-Length: %d\r\n" % len(body), body),
            lambda body: (b"Content-Length: 0\r\n", body),
            lambda body: (b"Content-Length: %d\r\n" % (len(body) + 2), body),
            lambda body: (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
            lambda body: (b"Transfer-Encoding: chunked\r\n", body),
            lambda body: (b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", body),
            lambda body: (b"", body),
        ]
    ),
    st.sampled_from([b"x", OK, NO, HINTS + OK, b"0\r\n\r\n" + OK]),
)
after = st.sampled_from([b"", b"", b"", b"\r\n", OK, NO, HINTS, HINTS + OK, b"HTTP/1.1 200 OK\r\n"])
scripts = st.lists(st.tuples(informational, final, after, st.integers(0, 60) | st.none()), min_size=2, max_size=4)


@given(scripts)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_partner_sends_a_success_is_one_of_this_very_request(script: list[Any]) -> None:
    """Of each request: informational answers, a final one with this or that framing, bytes after it, and a cut."""
    told = [status for _, (status, _), _, _ in script]
    seen: list[int] = []

    def answer(number: int) -> raw.Answer:
        before, (_, last), behind, cut = script[number]
        data = (b"".join(before) + last + behind)[:cut]

        def send(connection: socket.socket) -> None:
            seen.append(number)
            connection.sendall(data)
            if cut is not None:
                connection.shutdown(socket.SHUT_RDWR)

        return send

    # What is said of a request that never arrived belongs to no script: one more request than scripts is not made.
    with (
        raw.speaking(answer) as url,
        closing(Partner(partner_settings(url, api_read_timeout_seconds=0.15).api)) as partner,
    ):
        for number in itertools.count():
            if len(seen) == len(script) or number > 2 * len(script):
                break
            before = len(seen)
            found = partner.post(EVENTS)
            asked = seen[before:]
            if isinstance(found, Answer):
                assert len(asked) == 1, "an answer without a request"
                assert found.status == told[asked[0]]
