"""Events: what has changed is sent, once rendered for all, and a browser that goes leaves nothing behind."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import pytest

from engagement_platform.console.serve import sse
from engagement_platform.console.serve.now import REGIONS, values_of
from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.served import Served
from engagement_platform_tests.streaming import wait_for


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served(states.well())
    yield made
    made.end()


@contextmanager
def connected(served: Served, headers: str = "", path: str = "/events") -> Iterator[IO[bytes]]:
    """A browser that reads events."""
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as connection, connection.makefile("rb") as lines:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode())
        yield lines


def following(lines: IO[bytes], event: str = "now") -> dict[str, Any]:
    """Return the data of the next event of a kind."""
    for line in lines:
        if line.strip() == f"event: {event}".encode():
            told: dict[str, Any] = json.loads(next(lines).removeprefix(b"data: "))
            return told
    raise AssertionError("the connection has ended")


def test_a_browser_gets_the_whole_page_and_then_what_has_changed(served: Served) -> None:
    served.sampler.show(states.well())
    with connected(served) as lines:
        assert following(lines)["regions"].keys() == set(REGIONS)
        shown = states.well(relay=states.streams("relay", done=77.0))
        stream = shown.streams["engagement"]
        served.sampler.show(shown)
        told = following(lines)
        assert "77 events a second" in told["regions"]["sentence"]
        assert "77" in told["regions"]["flow"]
        assert told["sent"] >= told["at"]
        assert "ranking" not in told["regions"], "which has not changed"
        assert stream.ranking == states.ranking()


def test_a_browser_that_goes_leaves_nothing_behind(served: Served) -> None:
    wait_for(lambda: not served.sampler._listeners, "the end of those before")
    with connected(served) as one, connected(served) as two:
        following(one)
        following(two)
        assert len(served.sampler._listeners) == 1, "one for all"
    wait_for(lambda: not served.sampler._listeners, "their end")


def test_while_nothing_new_is_read_it_says_that_it_lives(served: Served) -> None:
    with connected(served) as lines:
        following(lines)
        assert following(lines, "alive")["at"] == served.sampler.latest.at


def test_a_page_that_is_open_is_told_that_nothing_new_is_read(served: Served) -> None:
    served.sampler.show(states.well())
    with connected(served) as one, connected(served) as two:
        assert "All well" in following(one)["regions"]["sentence"]
        following(two)
        served.sampler.latest = replace(served.sampler.latest, at=time.time() - 25)
        for lines in (one, two):
            assert "nothing could be read for 2" in following(lines)["regions"]["sentence"]
        served.sampler.show(states.well())
        assert "All well" in following(one)["regions"]["sentence"]


def test_every_browser_of_a_language_gets_the_same_rendering(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[tuple[int, str]] = []

    def noted(sample: Any, stream: str, texts: Any, *, of_all: bool) -> Any:
        rendered.append((sample.number, texts.language))
        return values_of(sample, stream, texts, of_all=of_all)

    monkeypatch.setattr("engagement_platform.console.serve.sse.values_of", noted)
    arabic = "Accept-Language: ar\r\n"
    with connected(served) as one, connected(served) as two, connected(served, arabic) as three:
        for lines in (one, two, three):
            following(lines)
        served.sampler.show(states.redis_is_away())
        told = [following(lines)["regions"]["sentence"] for lines in (one, two, three)]
        assert told[0] == told[1] != told[2]
        assert "لا يستجيب" in told[2]
        number = served.sampler.latest.number
        assert sorted(language for at, language in rendered if at == number) == ["ar", "en"]


def test_who_looks_at_no_stream_by_name_is_told_what_is_wrong_with_any() -> None:
    well, orders = states.well().streams["engagement"], states.renamed(states.redis_is_away(), "orders")
    served = Served(states.sample_of({"engagement": well, "orders": orders}))
    try:
        with connected(served) as every, connected(served, path="/events?stream=engagement") as one:
            assert "Stream orders: Redis at" in following(every)["regions"]["sentence"].partition("<h1>")[2][:40]
            assert "All well" in following(one)["regions"]["sentence"].partition("<h1>")[2][:40]
    finally:
        served.end()


def test_another_stream_than_there_is_has_no_events(served: Served) -> None:
    with connected(served, path="/events?stream=orders") as lines:
        assert b"404" in next(lines)


def test_there_are_only_so_many_browsers(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(lambda: not served.sampler._listeners, "the end of those before")
    monkeypatch.setattr(sse, "MOST_BROWSERS", 1)
    with connected(served) as lines:
        following(lines)
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), 10) as second:
            second.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"503" in second.recv(100)
