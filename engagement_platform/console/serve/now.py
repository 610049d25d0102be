"""The page Now: one sentence, the picture, latency over time, the ranking, hand-overs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engagement_platform.console.serve.headline import Headline, headline_of, is_stale
from engagement_platform.console.serve.picture import picture_of
from engagement_platform.console.serve.plot import Plot, latency_plot
from engagement_platform.console.serve.sampler import KEPT_SECONDS, Ranking, Sample, StreamSample
from engagement_platform.console.serve.site import Link, Site
from engagement_platform.console.serve.texts import Texts
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.leases import Lease, alive, waiting
from engagement_platform.health.read import terms_of
from engagement_platform.stream.registry import LOOPS

LINK = Link("/", "now.link")
REGIONS = ("sentence", "flow", "latency", "ranking", "handovers")
"""What an event replaces: each is a template in `templates/now`, and an element of that id on the page."""


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the route of the page."""

    async def now(request: Request) -> Response:
        texts, stream, sample = site.texts(request), site.stream(request), site.sampler.look()
        shown = values_of(sample, stream, texts, of_all=not request.query_params.get("stream"))
        regions = {name: site.fragment(f"now/{name}.html", texts, **shown) for name in REGIONS}
        return site.render(request, "now.html", regions=regions, **shown)

    return [Route("/", now)]


def values_of(sample: Sample, stream: str, texts: Texts, *, of_all: bool) -> dict[str, Any]:
    """Return what the templates of the page show: of one stream, with `of_all` below a sentence on all of them."""
    now = time.time()
    present = sample.streams[stream]
    return {
        "stream": stream,
        "sample": sample,
        "present": present,
        "of_all": of_all,
        "headline": _fresh(headline_of(sample, stream, texts, now, of_all=of_all), sample, texts, now),
        "picture": picture_of(present, texts, now),
        "plots": plots_of(present, texts, sample.at),
        "span": texts.duration(span_of(present, sample.at)),
        "ranking": ranking_of(present, texts),
        "lease": lease_of(present, now),
        "shards": shards_of(present),
        "hand_overs": hand_overs_of(present.leases),
        "as_of": texts.moment(sample.at),
        "age": round(now - sample.at, 1),
    }


def _fresh(headline: Headline, sample: Sample, texts: Texts, now: float) -> Headline:
    """Return a headline that says so where its sample is too old to say anything of this moment."""
    if not is_stale(sample, now):
        return headline
    sentence = texts("now.sentence.stale", length=texts.duration(now - sample.at))
    return Headline("critical", texts("now.word.unknown"), sentence, texts("now.sentence.stale_announced"))


def plots_of(present: StreamSample, texts: Texts, now: float) -> Mapping[str, Plot]:
    """Return destination -> the plot of its latency."""
    span = span_of(present, now)
    settings = present.settings
    promised = {} if isinstance(settings, EngagementError) else {
        one.destination: one.promise for one in terms_of(settings).expected
    }  # fmt: skip
    return {
        loop.destination: latency_plot(
            present.points, loop.name, promised.get(loop.destination), texts, end=now, span=span
        )
        for loop in LOOPS
    }


def span_of(present: StreamSample, now: float) -> float:
    """Return the seconds that the plots show: an hour, and less while there are not as many figures."""
    age = now - present.points[0].at if present.points else 0.0
    return next((span for span in (600.0, 1_200.0, 1_800.0) if age <= span), KEPT_SECONDS)


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the ranking."""

    member: str
    name: str
    value: str
    share: float
    """Of the first one's length, from 0 to 100."""


def ranking_of(present: StreamSample, texts: Texts) -> Mapping[str, object]:
    """Return the ranking for people, or why there is none."""
    ranking = present.ranking
    if isinstance(ranking, EngagementError):
        return {"fault": ranking.what, "bars": (), "minutes": ""}
    if ranking is None:
        return {"fault": "", "bars": (), "minutes": ""}
    return {"fault": "", "bars": _bars(ranking, texts), "minutes": texts.duration(ranking.window_seconds)}


def _bars(ranking: Ranking, texts: Texts) -> tuple[Bar, ...]:
    most = max((row.value for row in ranking.rows), default=0) or 1
    return tuple(
        Bar(row.member, _name(row.shown, row.member), texts.number(row.value), round(100 * row.value / most, 1))
        for row in ranking.rows
    )


def _name(shown: Mapping[str, object] | None, member: str) -> str:
    """Return what people know a member by: its title, or the longest text that is shown for it."""
    given = shown or {}
    texts = [str(value) for value in given.values() if isinstance(value, str) and value]
    return str(given.get("title") or given.get("name") or max(texts, key=len, default=member))


def lease_of(present: StreamSample, now: float) -> Mapping[str, object]:
    """Return who streams, until when, and whether a successor waits."""
    status = present.status
    if isinstance(status, EngagementError):
        return {"unknown": True}
    if status.snapshot.lease is None:
        return {}
    lease = status.snapshot.lease
    return {
        "epoch": lease.epoch,
        "run": lease.run_id,
        "since": lease.claimed_at.timestamp(),
        "ends": lease.ends_at.timestamp(),
        "successor": bool(waiting(status.snapshot)),
        "streams": alive(status.snapshot),
        "now": now,
    }


@dataclass(frozen=True, slots=True)
class ShardRun:
    """A shard, and who has it."""

    index: int
    run: str
    """The run that has it, or had it last; empty where none has."""
    epoch: int
    lives: bool


def shards_of(present: StreamSample) -> tuple[ShardRun, ...]:
    """Return who has each shard; nothing where one run reads all partitions."""
    status = present.status
    if isinstance(status, EngagementError) or not status.is_divided:
        return ()
    return tuple(
        ShardRun(
            shard.index,
            "" if (lease := shard.snapshot.lease) is None else lease.run_id,
            shard.snapshot.epoch,
            shard.lives,
        )
        for shard in status.shards
    )


@dataclass(frozen=True, slots=True)
class HandOver:
    """One run took over from another."""

    epoch: int
    run: str
    at: float
    is_planned: bool
    """Whether the one before had come to its end, or had ended by itself."""


def hand_overs_of(leases: Sequence[Lease]) -> tuple[HandOver, ...]:
    """Return the hand-overs between leases, the newest first."""
    return tuple(
        HandOver(lease.epoch, lease.run_id, lease.claimed_at.timestamp(), _is_planned(lease, before))
        for lease, before in pairwise(leases)
    )


def _is_planned(lease: Lease, before: Lease) -> bool:
    has_ended = before.released_at is not None and before.released_at <= lease.claimed_at
    return has_ended or lease.claimed_at >= before.ends_at
