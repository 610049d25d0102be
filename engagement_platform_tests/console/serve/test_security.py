"""Who may read and who may change something: one test for each rule."""

import hmac
import time
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from engagement_platform.console.serve import security
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.security import HEADERS, Guard, WrongTokens, is_loopback
from engagement_platform.console.serve.server import guard_of
from engagement_platform.console.serve.site import Site
from engagement_platform.domain.errors import SettingsError
from engagement_platform_tests.console.serve.conftest import HOME, HTML, TOKEN, Still, StillSampler, log_in, unread

BEARER = {"authorization": f"Bearer {TOKEN}"}
WRONG = {"authorization": "Bearer a-token-of-somebody-else"}


def changing(monkeypatch: pytest.MonkeyPatch, guard: Guard, base_url: str = HOME) -> TestClient:
    """The page with one more route, which changes something."""
    site = Site({"engagement": unread().streams["engagement"].settings}, StillSampler(unread()), guard)

    async def change(request: Request) -> Response:
        return PlainTextResponse(f"changed by {await site.guard.actor(request)}")

    class Module:
        @staticmethod
        def routes(_: Site) -> list[Route]:
            return [Route("/change", change, methods=["POST"])]

    monkeypatch.setattr("engagement_platform.console.serve.app.MODULES", (security_free_now(), Module))
    return TestClient(create_app(site), base_url=base_url, follow_redirects=False)


def security_free_now() -> object:
    from engagement_platform.console.serve import now

    return now


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with changing(monkeypatch, Guard(TOKEN)) as client:
        yield client


def test_without_a_token_of_its_own_nothing_can_be_changed_and_the_page_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with changing(monkeypatch, Guard(None)) as client:
        for headers in ({}, BEARER):
            answer = client.post("/change", headers=headers)
            assert answer.status_code == 403
            assert "ENGAGEMENT_PAGE_TOKEN" in answer.json()["error"]["what"]
        assert client.post("/login", data={"name": "me", "token": ""}).status_code == 401
        assert "ENGAGEMENT_PAGE_TOKEN" in client.get("/login", headers=HTML).text
        assert "only reads" in client.get("/", headers=HTML).text


def test_a_program_sends_the_token_and_may_say_who_it_is(page: TestClient) -> None:
    assert page.post("/change").status_code == 401
    assert page.post("/change", headers=WRONG).status_code == 401
    assert page.post("/change", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
    assert page.post("/change", headers=BEARER).text == "changed by bearer from testclient"
    named = page.post("/change", headers={**BEARER, "x-actor": "deploy\t " + "x" * 100})
    assert named.text.startswith("changed by deploy x")
    assert len(named.text) < 120


def test_a_person_logs_in_and_the_form_carries_the_sessions_token(page: TestClient) -> None:
    form_token = log_in(page, "Nour")
    assert page.post("/change", data={"form_token": form_token}).text == "changed by Nour from testclient"
    assert page.post("/change", headers={"x-form-token": form_token}).text == "changed by Nour from testclient"
    for wrong in ({}, {"form_token": ""}, {"form_token": form_token[:-1]}, {"form_token": TOKEN}):
        assert page.post("/change", data=wrong).status_code == 403


def test_the_form_of_one_session_is_none_of_another(page: TestClient) -> None:
    first = log_in(page, "one")
    page.cookies.clear()
    second = log_in(page, "two")
    assert first != second
    assert page.post("/change", data={"form_token": first}).status_code == 403
    assert page.post("/change", data={"form_token": second}).status_code == 200


def test_another_sites_page_changes_nothing_even_with_the_right_form(page: TestClient) -> None:
    form = {"form_token": log_in(page)}
    for foreign in (
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:3011"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ):  # fmt: skip
        assert page.post("/change", data=form, headers=foreign).status_code == 403
        assert page.post("/login", data={"name": "me", "token": TOKEN}, headers=foreign).status_code == 403
    own = {"origin": HOME, "sec-fetch-site": "same-origin"}
    assert page.post("/change", data=form, headers=own).status_code == 200


def test_the_cookie_is_for_this_site_and_for_no_script(page: TestClient) -> None:
    for headers, is_secure in (({}, False), ({"x-forwarded-proto": "https"}, True)):
        cookie = page.post("/login", data={"name": "me", "token": TOKEN}, headers=headers).headers["set-cookie"]
        flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= flags
        assert ("secure" in flags) == is_secure
        assert TOKEN not in cookie


def test_a_session_ends_at_the_logout_and_by_itself(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    form = {"form_token": log_in(page)}
    cookies = dict(page.cookies)
    assert page.post("/logout").status_code == 403, "a logout is a change, too"
    assert page.post("/logout", data=form).status_code == 303
    page.cookies.update(cookies)
    assert page.post("/change", data=form).status_code == 401
    later = {"form_token": log_in(page)}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + security.SESSION_SECONDS + 1)
    assert page.post("/change", data=later).status_code == 401


def test_whoever_guesses_waits_and_holds_up_nobody_else(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(WrongTokens.MOST):
        assert page.post("/change", headers=WRONG).status_code == 401
    refused = page.post("/change", headers=WRONG)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= WrongTokens.SECONDS
    assert page.post("/login", data={"name": "me", "token": "wrong"}).status_code == 429
    assert page.post("/change", headers=BEARER).status_code == 200, "behind a proxy all come from one address"
    assert page.post("/login", data={"name": "me", "token": TOKEN}).status_code == 303
    assert page.get("/").status_code == 200, "who reads does not wait"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + WrongTokens.SECONDS + 1)
    assert page.post("/change", headers=WRONG).status_code == 401


def test_the_addresses_of_those_who_guess_take_little_memory() -> None:
    wrong = WrongTokens()
    for number in range(25_000):
        wrong.note(f"10.{number}", 0.0)
    assert len(wrong._times) <= 10_000
    wrong.note("10.0.0.1", 2 * WrongTokens.SECONDS)
    assert len(wrong._times) == 1


def test_tokens_are_compared_in_a_time_that_says_nothing(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    right = hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return right(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    page.post("/change", headers=WRONG)
    page.post("/change", headers={"authorization": "Bearer x"})
    assert compared == [(64, 64)] * 2, "of digests, whose length says nothing of the token's"


@pytest.mark.parametrize("host", ["127.0.0.1:3010", "localhost", "LOCALHOST:3010", "[::1]:3010", "192.168.1.7"])
def test_it_may_be_asked_for_by_an_address_or_localhost(still: Still, host: str) -> None:
    assert still().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "localhost@evil.example"]
)
def test_a_name_that_leads_here_by_another_sites_will_is_refused(still: Still, host: str) -> None:
    for path in ("/", "/events", "/static/page.js", "/login"):
        assert still().get(path, headers={"host": host}).status_code == 421


def test_a_name_that_was_allowed_is_known(still: Still) -> None:
    client = still(guard=Guard(TOKEN, ["page.example.com"]))
    assert client.get("/", headers={"host": "page.example.com:443"}).status_code == 200
    assert client.get("/", headers={"host": "other.example.com"}).status_code == 421


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/static/page.css", "/choose?theme=dark"])
def test_every_answer_has_the_headers(still: Still, path: str) -> None:
    answer = still().get(path, headers=HTML)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    if not path.startswith("/static/"):
        assert answer.headers["cache-control"] == "no-store"


def test_an_answer_to_a_fault_of_the_page_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site({"engagement": unread().streams["engagement"].settings}, StillSampler(unread()), Guard(TOKEN))
    monkeypatch.setattr(site.sampler, "look", lambda: 1 / 0)
    with TestClient(create_app(site), base_url=HOME, raise_server_exceptions=False) as client:
        answer = client.get("/", headers=HTML)
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert "ZeroDivisionError" not in answer.text


def test_where_others_reach_it_reading_needs_the_token(still: Still) -> None:
    client = still(guard=Guard(TOKEN, open_to_readers=False))
    assert client.get("/", headers=HTML).headers["location"] == "/login"
    assert client.get("/events").status_code == 401
    assert client.get("/", headers=WRONG).status_code == 401
    assert client.get("/", headers=BEARER).status_code == 200
    assert client.get("/login", headers=HTML).status_code == 200
    assert client.get("/static/page.css").status_code == 200
    log_in(client)
    assert client.get("/", headers=HTML).status_code == 200


def test_an_address_that_others_reach_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENGAGEMENT_PAGE_TOKEN", "ENGAGEMENT_PAGE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0"):
        guard_of("0.0.0.0", [], readers_need_no_token=False)
    assert guard_of("0.0.0.0", [], readers_need_no_token=True).open_to_readers
    assert guard_of("127.0.0.1", [], readers_need_no_token=False).open_to_readers
    monkeypatch.setenv("ENGAGEMENT_PAGE_TOKEN", TOKEN)
    assert not guard_of("0.0.0.0", [], readers_need_no_token=False).open_to_readers


def test_a_token_from_a_file_may_be_replaced_and_ends_the_sessions_of_the_one_before(
    still: Still, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.delenv("ENGAGEMENT_PAGE_TOKEN", raising=False)
    monkeypatch.setenv("ENGAGEMENT_PAGE_TOKEN_FILE", str(file))
    client = still(guard=guard_of("0.0.0.0", [], readers_need_no_token=False))
    log_in(client)
    assert client.get("/", headers=HTML).status_code == 200
    for unusable in ("", "short"):
        file.write_text(unusable)
        assert client.get("/", headers=HTML | BEARER).status_code == 200, "the token that there was stays"
    file.write_text("another-token-of-32-characters..")
    assert client.get("/", headers=HTML).headers["location"] == "/login"
    assert client.get("/events", headers=BEARER).status_code == 401
    assert client.get("/", headers={"authorization": "Bearer another-token-of-32-characters.."}).status_code == 200


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", 1), ("::1", 1), ("localhost", 1), ("0.0.0.0", 0), ("::", 0)])
def test_what_is_loopback_is_known(host: str, own: int) -> None:
    assert is_loopback(host) == bool(own)


def test_a_form_that_is_too_large_or_no_form_is_refused(page: TestClient) -> None:
    log_in(page)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert page.post("/change", content=b"a=" + b"x" * (1 << 17), headers=form).status_code == 413
    assert page.post("/change", content=b"a=1;&\xff", headers=form).status_code == 400


def test_a_choice_leads_back_to_this_site_alone(still: Still) -> None:
    client = still()
    for back in ("https://evil.example", "//evil.example", "/\\evil.example", "evil", "/a\r\nset-cookie: x=y"):
        assert client.get("/choose", params={"theme": "dark", "back": back}).headers["location"] == "/"
    kept = client.get("/choose", params={"theme": "dark", "language": "ar", "back": "/?stream=engagement"})
    assert kept.headers["location"] == "/?stream=engagement"
    page = client.get("/", headers=HTML).text
    assert '<html lang="ar" dir="rtl" data-theme="dark">' in page
    client.get("/choose", params={"theme": '"><script>', "language": "xx"})
    assert '<html lang="ar" dir="rtl" data-theme="dark">' in client.get("/", headers=HTML).text


def test_a_login_leads_back_to_where_it_was_asked_for(still: Still) -> None:
    client = still(guard=Guard(TOKEN, open_to_readers=False))
    asked = client.get("/days?month=2026-03&stream=engagement", headers=HTML).headers["location"]
    assert asked == "/login?back=%2Fdays%3Fmonth%3D2026-03%26stream%3Dengagement"
    form = client.get(asked, headers=HTML).text
    back = unescape(form.partition('name="back" value="')[2].partition('"')[0])
    assert back == "/days?month=2026-03&stream=engagement"
    wrong = client.post("/login", data={"name": "me", "token": "x", "back": back}, headers=HTML)
    assert f'name="back" value="{escape(back)}"' in wrong.text
    given = {"name": "me", "token": TOKEN, "back": back}
    assert client.post("/login", data=given).headers["location"] == back
    for foreign in ("https://evil.example", "//evil.example", "/\\evil.example", "evil"):
        assert client.post("/login", data=given | {"back": foreign}).headers["location"] == "/"


def test_each_page_leads_to_the_login_and_back(still: Still) -> None:
    page = still().get("/nowhere?a=1", headers=HTML).text
    assert 'href="/login?back=%2Fnowhere%3Fa%3D1"' in page
    assert 'href="/login"' in still().get("/login?back=/days", headers=HTML).text


def test_wrong_tokens_raise_no_other_error() -> None:
    with pytest.raises(HTTPException):
        Guard(TOKEN)._require_token("\udcff", "here")
