"""What is popular: the answer of one reading, and one reading for many who ask at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis

from engagement_platform.adapters.redis.ranking_script import Ranked, Ranking
from engagement_platform.adapters.redis.rankings import Rankings
from engagement_platform.console.serve.api import top
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.console.serve.api.top import Board, TopParameters, seconds_of, top_of
from engagement_platform.console.serve.security import Guard
from engagement_platform.console.serve.site import Site
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.redis.tallied import WINDOW, Tallied, event, make
from engagement_platform_tests.console.serve.conftest import NOWHERE, Still, StillSampler, unread

BY_CONTENT = TopParameters(by="content")
RANKING = Ranking(
    now_ms=1_000_500,
    is_counted=True,
    members=[Ranked("a", 3, {"title": "A"}), Ranked("(none)", 1)],
    as_of_ms=1_000_000,
    window_start_ms=400_000,
    window_ms=600_000,
    lag=7,
)


def site_of(**streams: Settings | EngagementError) -> Site:
    return Site(streams, StillSampler(unread()), Guard(None))


def test_an_answer_says_for_which_time_it_holds() -> None:
    told = top_of("engagement", BY_CONTENT, RANKING)
    assert [(one.rank, one.member, one.value, one.shown) for one in told.members] == [
        (1, "a", 3, {"title": "A"}), (2, "(none)", 1, None),
    ]  # fmt: skip
    assert (told.as_of.timestamp(), told.age_seconds, told.stale, told.lag) == (1_000, 0.5, False, 7)
    assert (told.window_seconds, told.window_start and told.window_start.timestamp()) == (600, 400)


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (2_000, False), (2_001, True), (-50, False)])
def test_a_time_that_is_old_is_stale(age_ms: int, stale: bool) -> None:
    ranking = Ranking(1_000_000 + age_ms, True, as_of_ms=1_000_000, window_ms=600_000)
    assert top_of("engagement", BY_CONTENT, ranking).stale is stale


@pytest.mark.parametrize("window", ["600", "600s", "10m"])
def test_the_window_that_is_kept_may_be_named_in_any_unit(window: str) -> None:
    assert top_of("engagement", TopParameters(by="content", window=window), RANKING).window_seconds == 600


def test_a_window_that_is_not_kept_is_not_made_up() -> None:
    with pytest.raises(Refusal) as refusal:
        top_of("engagement", TopParameters(by="content", window="1m"), RANKING)
    problem = refusal.value.problem
    assert (problem.status, problem.detail) == (
        404, "Views of 1m are not kept: those of engagement have a window of 600 s.",
    )  # fmt: skip


@pytest.mark.parametrize(
    "ranking", [Ranking(1_000, is_counted=True), Ranking(1_000, is_counted=False, as_of_ms=900, window_ms=600_000)]
)
def test_views_that_are_not_there_are_not_empty_ones(ranking: Ranking) -> None:
    with pytest.raises(Refusal) as refusal:
        top_of("engagement", BY_CONTENT, ranking)
    assert refusal.value.problem.status == 503


@pytest.mark.parametrize(("window", "seconds"), [("1", 1), ("90s", 90), ("10m", 600), ("2h", 7_200)])
def test_a_window_in_seconds(window: str, seconds: int) -> None:
    assert seconds_of(window) == seconds


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 400, "The parameter by is missing."),
        ("by=country", 404, "There is no dimension country."),
        ("by=content&measure=cents", 404, "There is no measure cents."),
        ("by=content&stream=visits", 404, "There is no stream visits."),
        ("by=content&limit=1001", 400, "The parameter limit cannot be used: it has to be int <= 1000."),
        ("by=content&by=content", 400, "The parameter by is there twice."),
        ("by=content&order=up", 400, "There is no parameter order."),
    ],
)
def test_a_question_that_cannot_be_answered(query: str, status: int, detail: str, still: Still) -> None:
    answer = still().get(f"/api/v1/top?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_server_that_is_away_is_said_and_not_asked_by_everybody(
    still: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def away(self: Rankings, *_: object) -> Ranking:
        nonlocal asked
        asked += 1
        raise Unavailable("Redis at 127.0.0.1:1 does not answer.", "Check that it runs.")

    monkeypatch.setattr(Rankings, "top", away)
    client = still()
    answers = [client.get("/api/v1/top?by=content") for _ in range(5)]
    assert {(one.status_code, one.headers["retry-after"]) for one in answers} == {(503, "1")}
    assert answers[0].json()["detail"] == "Redis at 127.0.0.1:1 does not answer."
    assert asked == 1


def test_a_head_request_has_no_body(still: Still) -> None:
    answer = still().head("/api/v1/top?by=country")
    assert (answer.status_code, answer.content) == (404, b"")
    assert int(answer.headers["content-length"]) > 0


class Held:
    """Stands for the server, and answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.may_answer = asyncio.Event()
        monkeypatch.setattr(Rankings, "top", lambda _, *what: self._answer(*what))

    async def _answer(self, *what: object) -> Ranking:
        self.asked.append(what)
        await self.may_answer.wait()
        return RANKING


def run(work: Callable[[Board], Awaitable[Any]]) -> Any:
    async def open_board() -> Any:
        board = Board(site_of(engagement=NOWHERE))
        try:
            return await work(board)
        finally:
            await board.close()

    return asyncio.run(open_board())


def test_many_who_ask_at_once_share_one_reading_of_each_view(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(board: Board) -> None:
        held = Held(monkeypatch)
        queries = [b"by=content", b"by=content&limit=10", b"by=content&measure=count", b"by=device"]
        waiting = [asyncio.ensure_future(board.answer(query)) for query in queries * 25]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(held.asked) == [("content", "count", 10), ("device", "count", 10)]
        held.may_answer.set()
        answers = await asyncio.gather(*waiting)
        assert {answer.status for answer in answers} == {200}
        assert {json.loads(answer.body)["by"] for answer in answers} == {"content", "device"}

    run(ask)


def test_one_who_gives_up_waiting_does_not_end_the_reading_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(board: Board) -> None:
        held = Held(monkeypatch)
        first, second = (asyncio.ensure_future(board.answer(b"by=content")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        held.may_answer.set()
        assert (await second).status == 200
        assert len(held.asked) == 1

    run(ask)


def test_nobody_waits_for_a_busy_redis_while_the_last_answer_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "SHARED_SECONDS", 0.0)
    monkeypatch.setattr(top, "LENT_SECONDS", 60.0)

    async def ask(board: Board) -> None:
        held = Held(monkeypatch)
        held.may_answer.set()
        first = await board.answer(b"by=content")
        held.may_answer.clear()
        lent = [await asyncio.wait_for(board.answer(b"by=content"), 5) for _ in range(3)]
        assert lent == [first] * 3
        await asyncio.sleep(0)
        assert len(held.asked) == 2, "one is under way, whoever asks"
        monkeypatch.setattr(top, "LENT_SECONDS", 0.0)
        waits = asyncio.ensure_future(board.answer(b"by=content"))
        await asyncio.sleep(0)
        assert not waits.done()
        held.may_answer.set()
        assert (await waits).status == 200

    run(ask)


def test_an_answer_is_read_anew_once_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "SHARED_SECONDS", 60.0)
    monkeypatch.setattr(top, "LENT_SECONDS", 0.0)

    async def ask(board: Board) -> None:
        held = Held(monkeypatch)
        held.may_answer.set()
        for _ in range(5):
            await board.answer(b"by=content")
        assert len(held.asked) == 1
        monkeypatch.setattr(top, "SHARED_SECONDS", 0.0)
        for view in (b"by=device", b"by=device", b"by=device"):
            await board.answer(view)
        assert len(held.asked) == 4

    run(ask)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(board: Board) -> None:
        Held(monkeypatch).may_answer.set()
        for limit in range(1, 1_001):
            await board.answer(b"by=content&limit=%d" % limit)
        assert len(board._kept) == len(board._asked) == top._MOST_KEPT

    run(ask)


def test_it_is_what_the_views_hold(site: Site, client: Any) -> None:
    """Over a real server, of a tally of the test."""
    (settings,) = site.streams.values()
    assert isinstance(settings, Settings)
    server = redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True, protocol=2)
    assert client.get("/api/v1/top?by=content").json()["type"].endswith(":no-views")
    tallied: Tallied = make(server, settings.redis.namespace)
    now_ms = int(1_000 * float(f"{server.time()[0]}"))
    tallied.send(*(event(now_ms - _NOW, content=name, ms=ms) for name, ms in (("a", 5), ("b", 1), ("b", 1))))
    told = client.get("/api/v1/top?by=content&measure=ms&limit=2").json()
    assert [(one["member"], one["value"]) for one in told["members"]] == [("a", 5), ("b", 2)]
    assert told["members"][0]["shown"]["title"] == "title of a"
    assert (told["window_seconds"], told["stale"]) == (WINDOW.length_ms / 1_000, False)
    by_count = client.get("/api/v1/top?by=content&window=1m").json()
    assert [(one["member"], one["value"]) for one in by_count["members"]] == [("b", 2), ("a", 1)]
    server.close()


_NOW = 1_767_268_800_000
"""The time of `tallied.event`."""
