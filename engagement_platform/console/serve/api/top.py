"""What is popular in the window: read from the ready-made views in Redis, for many readers at once.

Requests for one view share a reading: whoever asks while it is under way, or within a hundredth of a second after it,
gets the same bytes. The views themselves change with each batch of the tally, about as often. `as_of` says for which
time they hold, and an answer whose `as_of` is old says that it is stale.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta
from starlette.types import Receive, Scope, Send

from engagement_platform.adapters.redis.ranking_script import MOST_MEMBERS, Ranking
from engagement_platform.adapters.redis.rankings import Rankings
from engagement_platform.adapters.streams import stream_of as event_stream_of
from engagement_platform.console.serve.api import problem
from engagement_platform.console.serve.api.answering import parameters_of
from engagement_platform.console.serve.api.operation import (
    PREFIX,
    OfStream,
    Operation,
    settings_of,
)
from engagement_platform.console.serve.api.operation import stream_of as name_of
from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import Views
from engagement_platform.settings import about

if TYPE_CHECKING:
    from engagement_platform.console.serve.site import Site

SHARED_SECONDS = 0.01
LENT_SECONDS = 0.25
"""For so much longer an answer is given while the next one is read: requests do not queue behind a Redis that is busy
with a batch. `as_of` in it says how old it is."""
FAILED_SECONDS = 1.0
"""For so long a server that did not answer is not asked again: nobody waits for its time limit twice."""
VIEWS_STALE_SECONDS = 2.0
"""The tally sets `as_of` twice a second at least."""
_MOST_KEPT = 512
_log = logging.getLogger(__name__)

Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]


class TopParameters(OfStream, frozen=True, kw_only=True):
    """A view, and how much of it."""

    by: Annotated[Name, Meta(description="A dimension of the stream's views, such as `content`.")]
    measure: Annotated[Name, Meta(description="What is added up, such as `count` or `ms`.")] = "count"
    window: (
        Annotated[
            str,
            Meta(
                pattern="^[1-9][0-9]{0,6}[smh]?$",
                description="Length of the window, such as `10m` or `600`. Views are kept for the stream's window "
                "only; left out, it is that.",
            ),
        ]
        | None
    ) = None
    limit: Annotated[int, Meta(ge=1, le=MOST_MEMBERS, description="How many members, at most.")] = 10


class Member(msgspec.Struct, frozen=True):
    """One member of a ranking."""

    rank: int
    member: Annotated[str, Meta(description="The dimension's value; `(none)` where events have none.")]
    value: Annotated[int, Meta(description="What the measure adds up to in the window.")]
    shown: Annotated[dict[str, Any] | None, Meta(description="What the stream shows of the member, as its title.")] = (
        None
    )


class Top(msgspec.Struct, frozen=True):
    """The members with the highest sums in the window, the highest first."""

    stream: str
    by: str
    measure: str
    window_seconds: Annotated[float, Meta(description="Length of the window; it begins at a bucket's edge.")]
    window_start: Annotated[datetime | None, Meta(description="The start of the oldest bucket that counts.")]
    as_of: Annotated[datetime, Meta(description="The time for which the figures hold, by Redis' clock.")]
    age_seconds: Annotated[float, Meta(description="How old `as_of` was when it was read, by the same clock.")]
    stale: Annotated[bool, Meta(description="Whether nobody keeps the view up to date: `as_of` is older than 2 s.")]
    lag: Annotated[int, Meta(description="Messages known to wait in Kafka at `as_of`.")]
    members: list[Member]


_WINDOW = re.compile("([0-9]+)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600}


def seconds_of(window: str) -> int:
    """Return the seconds of a window such as `10m`; without a unit they are seconds."""
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise ValueError(window)
    return int(match[1]) * _SECONDS[match[2]]


def top_of(stream: str, parameters: TopParameters, ranking: Ranking) -> Top:
    """Return the answer. Raises Refusal where there is no such view."""
    if ranking.as_of_ms is None or ranking.window_ms is None:
        raise Refusal(
            503,
            "no-views",
            f"There are no views of {stream} yet: nothing was counted, or Redis has lost its data.",
            "They are built once the stream runs: engagement-platform status says how it stands.",
        )
    if not ranking.is_counted:
        what = f"The views do not count {parameters.measure} by {parameters.by} yet: they are being built anew."
        raise Refusal(503, "no-views", what, "Ask again in a minute.")
    kept = ranking.window_ms / 1_000
    if parameters.window is not None and seconds_of(parameters.window) != kept:
        raise Refusal(
            404,
            "no-window",
            f"Views of {parameters.window} are not kept: those of {stream} have a window of {kept:g} s.",
            f"Leave window out, or set {_WINDOW_SETTING} for all readers.",
        )
    age = (ranking.age_ms or 0) / 1_000
    return Top(
        stream=stream,
        by=parameters.by,
        measure=parameters.measure,
        window_seconds=kept,
        window_start=_time(ranking.window_start_ms),
        as_of=datetime.fromtimestamp(ranking.as_of_ms / 1_000, UTC),
        age_seconds=age,
        stale=age > VIEWS_STALE_SECONDS,
        lag=ranking.lag,
        members=[Member(rank, one.member, one.value, one.shown) for rank, one in enumerate(ranking.members, 1)],
    )


_WINDOW_SETTING = "ENGAGEMENT_WINDOW_SECONDS"


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1_000, UTC)


def require_counted(views: Views, parameters: TopParameters) -> None:
    """Raise Refusal for a dimension or a measure that the stream does not have."""
    for what, asked, names in (
        ("dimension", parameters.by, [one.name for one in views.dimensions]),
        ("measure", parameters.measure, [one.name for one in views.measures]),
    ):
        if asked not in names:
            raise Refusal(404, f"no-{what}", f"There is no {what} {asked}.", f"There are: {', '.join(names)}.")


class Body(NamedTuple):
    """An answer as it is sent."""

    status: int
    media_type: bytes
    body: bytes


@dataclass(slots=True)
class _Kept:
    answer: Body
    until: float
    """By the clock of `time.monotonic`."""


@dataclass
class Board:
    """Answers what is popular. For one event loop at a time; another loop gets connections of its own."""

    site: "Site"
    _asked: OrderedDict[bytes, tuple[str, TopParameters]] = field(default_factory=OrderedDict)
    """Query -> what it means: programs ask with the same few."""
    _kept: OrderedDict[tuple[str, TopParameters], _Kept] = field(default_factory=OrderedDict)
    _flights: dict[tuple[str, TopParameters], "asyncio.Task[Body]"] = field(default_factory=dict)
    _rankings: dict[str, Rankings] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer a request, without what Starlette does around it: this one comes thousands of times a second."""
        answer = await self.answer(scope["query_string"])
        headers = [(b"content-type", answer.media_type), (b"content-length", b"%d" % len(answer.body))]
        if answer.status == 503:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def answer(self, query: bytes) -> Body:
        """Return what is sent for a query."""
        try:
            key = self._asked.get(query) or self._understood(query)
        except Refusal as refusal:
            return _said(refusal.problem)
        except EngagementError as error:
            return _said(problem.problem_of(error))
        kept = self._kept.get(key)
        if kept is None or (older := time.monotonic() - kept.until) > LENT_SECONDS:
            return await asyncio.shield(self._flight(key))
        if older > 0:
            self._flight(key)  # the next one has what it brings
        return kept.answer

    async def close(self) -> None:
        """Close the connections."""
        rankings, self._rankings = self._rankings, {}
        for one in rankings.values():
            await one.close()

    def _understood(self, query: bytes) -> tuple[str, TopParameters]:
        pairs = parse_qsl(query.decode("ascii", "replace"), keep_blank_values=True)
        parameters = parameters_of(TopParameters, pairs)
        stream = name_of(self.site, parameters.stream)
        with about(stream):
            require_counted(event_stream_of(settings_of(self.site, stream)).views, parameters)
        self._asked[query] = key = (stream, msgspec.structs.replace(parameters, stream=None))
        _bound(self._asked)
        return key

    def _flight(self, key: tuple[str, TopParameters]) -> "asyncio.Task[Body]":
        """Return the reading of a view that is under way, or begin one."""
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            flight = self._flights[key] = asyncio.ensure_future(self._read(key))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return flight

    async def _read(self, key: tuple[str, TopParameters]) -> Body:
        stream, parameters = key
        lasts = SHARED_SECONDS
        with about(stream):
            try:
                ranking = await self._of(stream).top(parameters.by, parameters.measure, parameters.limit)
                answer = Body(200, b"application/json", msgspec.json.encode(top_of(stream, parameters, ranking)))
            except Refusal as refusal:
                answer = _said(refusal.problem)
            except EngagementError as error:
                answer, lasts = _said(problem.problem_of(error)), FAILED_SECONDS
            except Exception:
                _log.exception("The API could not read a ranking.")
                answer, lasts = _said(problem.own_fault()), FAILED_SECONDS
        self._kept[key] = _Kept(answer, time.monotonic() + lasts)
        self._kept.move_to_end(key)
        _bound(self._kept)
        return answer

    def _of(self, stream: str) -> Rankings:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the connections of another one are of no use here
            self._loop, self._rankings = loop, {}
        if stream not in self._rankings:
            self._rankings[stream] = Rankings(settings_of(self.site, stream))
        return self._rankings[stream]


def _bound(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > _MOST_KEPT:
        kept.popitem(last=False)


def _said(said: problem.Problem) -> Body:
    return Body(said.status, problem.MEDIA_TYPE.encode(), msgspec.json.encode(said))


OPERATIONS = (
    Operation(
        "GET",
        f"{PREFIX}/top",
        "top",
        "What is popular in the sliding window",
        Top,
        parameters=TopParameters,
        app=Board,
        refusals={
            404: "There is no such stream, dimension, measure or window.",
            503: "Redis does not answer, or there are no views yet.",
        },
    ),
)
