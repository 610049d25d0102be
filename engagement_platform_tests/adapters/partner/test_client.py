"""The client against a partner who does anything: what is said of it, and that no secret ever is."""

import datetime
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engagement_platform.adapters.partner import secrets
from engagement_platform.adapters.partner.client import Partner
from engagement_platform.domain.delivery.outcome import Answer, NoAnswer, Verdict, judge
from engagement_platform.domain.errors import SettingsError
from engagement_platform.local.receiver import Behaviour, Receiver
from engagement_platform.settings import SecretFile
from engagement_platform_tests.partner import SECRETS, SIGNING_KEY, message, over_tls, partner_settings
from engagement_platform_tests.passwords import CANARY

EVENTS = [
    (number, message(number, content_id="c", user_id="6f1c2a34-0000-4000-8000-0000000000ab")) for number in (7, 8)
]
NOW = datetime.datetime.now(datetime.UTC)


def post(url: str, **changes: Any) -> Answer | NoAnswer:
    with closing(Partner(partner_settings(url, **changes).api)) as partner:
        return partner.post(EVENTS)


@contextmanager
def answering(*answers: bytes | Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads a request on each connection, and then sends these bytes or does that."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1 << 20)
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/events"
        thread.join(5)


def test_a_request_is_signed_and_each_event_has_its_key() -> None:
    with Receiver(SECRETS) as receiver:
        assert post(receiver.url, api_signing_key=SIGNING_KEY, api_token="t0ken") == Answer(
            200, excerpt='{"mode":"ok"}'
        )
        assert [each.key for each in receiver.deliveries] == ["engagement-event-7", "engagement-event-8"]
        assert receiver.headers[0]["authorization"] == "Bearer t0ken"
        assert receiver.state.unsigned == receiver.state.malformed == 0
        other = "whsec_" + "A" * 32
        assert post(receiver.url, api_signing_key=other) == Answer(401, excerpt='{"mode":"unauthorized"}')
        assert post(receiver.url, api_signing_key=f"{other} {SIGNING_KEY}") == Answer(200, excerpt='{"mode":"ok"}')


def test_the_same_events_have_the_same_id_in_every_try() -> None:
    with Receiver() as receiver, closing(Partner(partner_settings(receiver.url).api)) as partner:
        for events in (EVENTS, EVENTS, EVENTS[:1]):
            partner.post(events)
        first, again, half = (headers["webhook-id"] for headers in receiver.headers)
        assert first == again != half


def test_connections_are_kept() -> None:
    with Receiver() as receiver, closing(Partner(partner_settings(receiver.url).api)) as partner:
        for _ in range(3):
            partner.post(EVENTS)
        assert (receiver.state.requests, receiver.state.connections) == (3, 1)


@pytest.mark.parametrize(
    ("behaviour", "verdict", "recorded"),
    [
        (Behaviour("slow", seconds=0.1), Verdict.DELIVERED, True),
        (Behaviour("slow", seconds=3), Verdict.AGAIN, True),
        (Behaviour("throttle", retry_after=7), Verdict.AGAIN, False),
        (Behaviour("error"), Verdict.AGAIN, False),
        (Behaviour("close"), Verdict.AGAIN, True),
        (Behaviour("garbage"), Verdict.DELIVERED, True),
        (Behaviour("hints"), Verdict.DELIVERED, True),
        (Behaviour("twice"), Verdict.DELIVERED, True),
        (Behaviour("redirect"), Verdict.STOP, False),
        (Behaviour("error", status=410), Verdict.STOP, False),
        (Behaviour(poison=frozenset({"engagement-event-8"})), Verdict.REFUSED, False),
    ],
)
def test_what_a_partner_may_do(behaviour: Behaviour, verdict: Verdict, recorded: bool) -> None:
    with Receiver() as receiver:
        receiver.behave(behaviour)
        outcome = judge(post(receiver.url, api_read_timeout_seconds=1), NOW)
        assert outcome.verdict is verdict
        assert bool(receiver.deliveries) == recorded
        assert behaviour.mode != "throttle" or outcome.retry_after == 7


def test_a_partner_that_is_not_there() -> None:
    receiver = Receiver()
    receiver.down()
    assert post(receiver.url) == NoAnswer("ConnectionRefusedError: Connection refused")


@pytest.mark.parametrize("answer", [b"", b"\x00\xff\r\n\r\n", b"HTTP/1.1 nonsense\r\n\r\n", b"HTTP/1.1 200 OK"])
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    with answering(answer) as url:
        found = post(url)
    assert isinstance(found, NoAnswer) or found.status == 200


def test_the_status_counts_whatever_becomes_of_the_body() -> None:
    cut = b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\nonly this"
    with answering(cut) as url:
        assert isinstance(found := post(url), Answer)
        assert found.status == 202
    wrong = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n"
    with answering(wrong) as url:
        assert isinstance(found := post(url), Answer)
        assert found.status == 200


def test_of_an_endless_body_a_beginning_is_read() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 100000000000\r\n\r\n")
        with suppress(OSError):  # the client hangs up
            while True:
                connection.sendall(b"x" * 65536)

    began = time.monotonic()
    with answering(endless) as url:
        found = post(url)
    assert isinstance(found, Answer)
    assert (found.status, len(found.excerpt)) == (500, 500)
    assert time.monotonic() - began < 5


def test_a_body_that_comes_byte_by_byte_is_not_waited_for() -> None:
    def slowly(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(OSError):  # the client hangs up
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.1)

    began = time.monotonic()
    with answering(slowly) as url:
        found = post(url, api_read_timeout_seconds=0.5)
        assert time.monotonic() - began < 3
    assert isinstance(found, Answer)
    assert found.status == 200


def test_a_proxy_that_wants_a_password_for_the_tunnel_is_for_a_person() -> None:
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as url:
        found = post("https://partner.invalid/events", api_proxy=url.removesuffix("/events"))
    assert found == NoAnswer("the proxy answered 407", for_a_person=True)


def test_what_an_address_hides_is_not_repeated() -> None:
    echo = b"token hidden-token, hook hook-T0PATH-0123456789"
    with answering(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%s" % (len(echo), echo)) as url:
        found = post(f"{url}/hook-T0PATH-0123456789?token=hidden-token&version=2")
    assert isinstance(found, Answer)
    assert found.excerpt == "token ***, hook ***"


def test_cookies_and_the_environment_are_not_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    seen: list[bytes] = []

    def note(connection: socket.socket) -> None:
        seen.append(b"answered")
        connection.sendall(cookie)

    with answering(note, note) as url, closing(Partner(partner_settings(url).api)) as partner:
        assert partner.post(EVENTS) == partner.post(EVENTS) == Answer(200)
        assert len(seen) == 2
        assert not partner._session.cookies


def test_a_proxy_is_used_when_it_is_set() -> None:
    with Receiver() as proxy:  # it takes what a client sends to a proxy just as well
        assert isinstance(post("http://partner.invalid/events", api_proxy=proxy.url.removesuffix("/events")), Answer)
        assert len(proxy.deliveries) == 2


def test_a_certificate_is_verified_always(certificate: Path) -> None:
    with over_tls(certificate) as url:
        refused = post(url)
        assert isinstance(refused, NoAnswer)
        assert refused.for_a_person
        assert "not trusted" in refused.reason
        assert judge(refused, NOW).verdict is Verdict.STOP
        assert post(url, api_ca_file=certificate) == Answer(200, excerpt='{"mode":"ok"}')


SECRET_SETTINGS: dict[str, Any] = {
    "api_token": f"{CANARY}-token",
    "api_signing_key": "whsec_" + "Q2FuYXJ5" * 5,
    "api_hash_key": f"{CANARY}-hash-key-long-enough",
    "api_user_id": "hash",
}


def test_no_secret_is_ever_said(caplog: pytest.LogCaptureFixture) -> None:
    """Not by a partner that repeats what it was sent, and not by any failure."""
    caplog.set_level(logging.DEBUG)
    said = []
    echo = f"{CANARY}-token {SECRET_SETTINGS['api_signing_key']} {SECRET_SETTINGS['api_hash_key']} q={CANARY}"
    answer = f"HTTP/1.1 403 No\r\nContent-Length: {len(echo)}\r\nLocation: http://a:{CANARY}@b/{CANARY}\r\n\r\n{echo}"
    with answering(answer.encode(), b"", b"\x00" + CANARY.encode() + b"\r\n\r\n") as url:
        for _ in range(3):
            outcome = judge(post(f"{url}?q={CANARY}", **SECRET_SETTINGS), NOW)
            said.append(f"{outcome.reason} {outcome.response}")
    for url in ("http://127.0.0.1:1/events", "http://partner.invalid/events", "https://127.0.0.1:1/"):
        proxy = {"api_proxy": f"http://user:{CANARY}@127.0.0.1:1"} if "invalid" in url else {}
        said.append(repr(post(f"{url}?q={CANARY}", **SECRET_SETTINGS, **proxy)))
    assert CANARY not in "".join(said)
    assert SECRET_SETTINGS["api_signing_key"] not in "".join(said)
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert CANARY not in "".join(ours)
    assert CANARY not in repr(partner_settings("http://h/", **SECRET_SETTINGS))


def test_a_secret_may_come_from_a_file_and_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = SecretFile("ENGAGEMENT_API_TOKEN", file)
    with Receiver() as receiver, closing(Partner(partner_settings(receiver.url, api_token=token).api)) as partner:
        partner.post(EVENTS)
        file.write_text("second\n")
        partner.post(EVENTS)
        file.write_text("not a\ntoken")  # half written, perhaps
        partner.post(EVENTS)
        sent = [headers["authorization"] for headers in receiver.headers]
        assert sent == ["Bearer first", "Bearer second", "Bearer second"]
        with pytest.raises(SettingsError, match="ENGAGEMENT_API_TOKEN"):
            partner.renew()


def test_a_secret_that_was_replaced_is_hidden_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{CANARY}-first")
    settings = partner_settings("http://127.0.0.1:1/", api_token=SecretFile("ENGAGEMENT_API_TOKEN", file))
    with closing(Partner(settings.api)) as partner:
        file.write_text("the-second")
        partner.renew()
        assert partner._hide(f"no {CANARY}-first, no the-second") == "no ***, no ***"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_token": f"a\n{CANARY}"}, "ENGAGEMENT_API_TOKEN"),
        ({"api_token": " "}, "is empty"),
        ({"api_signing_key": f"whsec_{CANARY}"}, "ENGAGEMENT_API_SIGNING_KEY"),
        ({"api_user_id": "hash"}, "ENGAGEMENT_API_HASH_KEY"),
        ({"api_user_id": "hash", "api_hash_key": CANARY[:5]}, "at least 16"),
        ({"api_fields": "id,nothing"}, "there is no field nothing"),
        ({"api_token": SecretFile("ENGAGEMENT_API_TOKEN", Path("/nonexistent"))}, "cannot be read"),
        ({"api_client_cert_file": Path("/dev/null")}, "ENGAGEMENT_API_CLIENT_CERT_FILE"),
        ({"api_ca_file": Path("/nonexistent")}, "ENGAGEMENT_API_CA_FILE"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(changes: dict[str, Any], said: str) -> None:
    def begin() -> None:
        partner = Partner(partner_settings("http://127.0.0.1:1/", **changes).api)
        partner.disclose(("id", "user_id"), "user_id", "engagement")

    with pytest.raises(SettingsError, match=said) as raised:
        begin()
    assert CANARY not in str(raised.value)


def test_a_stream_without_a_column_for_persons_hides_nobody_and_says_so() -> None:
    partner = Partner(partner_settings("http://127.0.0.1:1/", api_user_id="drop").api)
    with pytest.raises(SettingsError, match="ENGAGEMENT_API_USER_ID is drop, and the stream pings has no column"):
        partner.disclose(("id", "host"), None, "pings")


def test_what_the_partner_may_see_is_as_the_settings_say() -> None:
    found = secrets.disclosure(
        partner_settings(
            "http://h/", api_fields="id, user_id", api_user_id="hash", api_hash_key=SecretStr("k" * 16)
        ).api,
        ("user_id", "id", "at"),
    )
    assert (found.fields, found.user_id, found.hash_key) == (("user_id", "id"), "hash", b"k" * 16)
