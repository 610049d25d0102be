"""The page behind a proxy that ends TLS and asks for a login, as docs/tls.md has it: the real `serve`, a process."""

import http.client
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from engagement_platform_tests.certificates import Authority
from engagement_platform_tests.console.serve.test_server import NOWHERE
from engagement_platform_tests.login_proxy import LOGIN, login_proxy

NAME = "page.example.com"
TOKEN = "the-token-of-the-page-of-32-chars"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Proxy:
    port: int
    authority: Path

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)

    def ask(
        self, path: str, *, login: bool = True, host: str = NAME, form: dict[str, str] | None = None, **headers: Any
    ) -> tuple[http.client.HTTPResponse, str]:
        sent = {"Host": host, **({"Authorization": LOGIN} if login else {}), **headers}
        connection = self.connect()
        body = None if form is None else urlencode(form)
        connection.request("GET" if form is None else "POST", path, body, sent | (FORM if form else {}))
        answer = connection.getresponse()
        return answer, answer.read().decode()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ENGAGEMENT_", "DAGSTER_"))
    }
    command = [sys.executable, "-m", "engagement_platform", "serve", "--port", "0", "--allow-host", NAME]
    token = {"ENGAGEMENT_PAGE_TOKEN": TOKEN}
    with subprocess.Popen(
        command, env=environment | NOWHERE | token, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as serving:
        assert serving.stdout is not None
        said = serving.stdout.readline()
        with login_proxy(int(said.rpartition(":")[2]), authority.server()) as port:
            yield Proxy(port, authority.file)
        serving.kill()


def test_who_does_not_log_in_at_the_proxy_sees_nothing(proxy: Proxy) -> None:
    answer, text = proxy.ask("/", login=False)
    assert (answer.status, text) == (401, "")


def test_the_page_is_read_by_the_name_of_the_proxy_and_by_no_other(proxy: Proxy) -> None:
    answer, text = proxy.ask("/", Accept="text/html")
    assert answer.status == 200
    assert "The platform database does not answer" in text
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', text):
        assert proxy.ask(path)[0].status == 200
    assert proxy.ask("/api/v1/status")[0].status in (200, 503)
    assert proxy.ask("/", host="other.example.com")[0].status == 421


def test_the_cookie_of_a_login_never_leaves_without_tls_and_the_origin_is_that_of_the_proxy(proxy: Proxy) -> None:
    origin = f"https://{NAME}"
    answer, _ = proxy.ask("/login", form={"token": TOKEN, "name": "Ada"}, Origin=origin)
    assert answer.status == 303
    cookie = answer.headers["set-cookie"]
    assert {"Secure", "HttpOnly"} <= {part.strip() for part in cookie.split(";")}
    session: dict[str, Any] = {"Cookie": cookie.partition(";")[0]}
    page = proxy.ask("/", Accept="text/html", **session)[1]
    form_token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert form_token is not None
    assert "Ada" in page
    fields = {"form_token": form_token[1]}
    assert proxy.ask("/logout", form=fields, Origin="https://evil.example", **session)[0].status == 403
    assert proxy.ask("/logout", form=fields, Origin=origin, **session)[0].status == 303
    assert 'name="form_token"' not in proxy.ask("/", Accept="text/html", **session)[1]


def test_what_the_page_says_by_itself_comes_through(proxy: Proxy) -> None:
    connection = proxy.connect()
    connection.request("GET", "/events", headers={"Host": NAME, "Authorization": LOGIN})
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.read1(1)
    connection.close()
