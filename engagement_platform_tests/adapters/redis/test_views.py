"""What readers see."""

from dataclasses import replace

import pytest

from engagement_platform.adapters.redis.counts import Applied
from engagement_platform.domain.windows import NONE
from engagement_platform_tests.adapters.redis.tallied import NOW_MS, WINDOW, Tallied, event
from engagement_platform_tests.recount import bucket_of
from engagement_platform_tests.streams import PACKAGED

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("clock_of_the_test")]


def test_a_ranking_with_what_to_show(tallied: Tallied) -> None:
    tallied.send(event(content="a", ms=10), event(content="b", ms=1), event(content="b", ms=1), event(content=None))
    by_count = tallied.views.top("content", "count", 1).members
    assert [(one.member, one.value, one.shown) for one in by_count] == [
        ("b", 2, {"slug": "slug of b", "title": "title of b", "content_type": "video"})
    ]
    assert [one.member for one in tallied.views.top("content", "ms", 9).members] == ["a", NONE, "b"]
    assert [(one.member, one.value, one.shown) for one in tallied.views.top("device", "count", 9).members] == [
        ("ios", 4, None)
    ]
    assert tallied.views.top("content", "ms", 9).members[1].shown is None


def test_totals_are_those_of_all_events(tallied: Tallied) -> None:
    tallied.send(event(ms=10), event(device=None, ms=None), event(ms=-3))
    totals = tallied.views.totals()
    assert (totals.count, totals.sums) == (3, {"ms": 7})


def test_freshness_is_read_by_redis_clock(tallied: Tallied) -> None:
    tallied.at(1_234)
    tallied.send()
    tallied.at(2_000)
    assert tallied.views.as_of() == NOW_MS + 1_234
    assert tallied.views.top("content", "count", 1).age_ms == 766


def test_sums_stay_integers_beyond_14_digits(tallied: Tallied) -> None:
    batch = replace(
        tallied.batch(event()),
        buckets={bucket_of(WINDOW, event().at): {one.name: {"x": [1, 2**52 + 1]} for one in PACKAGED.views.dimensions}},
    )
    assert isinstance(tallied.counts.apply(batch), Applied)
    assert tallied.views.snapshot().views["content"] == {"x": [1, 2**52 + 1]}
