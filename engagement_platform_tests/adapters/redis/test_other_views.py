"""Views of other dimensions and measures, and what becomes of those that counted something else."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from engagement_platform.adapters.redis.counted import UNSAID, counted_by
from engagement_platform.adapters.redis.counts import Applied, Counts
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import Dimension, EventStream, Measure
from engagement_platform.domain.event_stream import Views as Counted
from engagement_platform.domain.stream_form import SourceTable
from engagement_platform.recovery.tally import rebuild_views
from engagement_platform_tests.adapters.redis.server import Server, settings_for
from engagement_platform_tests.adapters.redis.tallied import WINDOW, Tallied, event, make
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, VISITS

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("clock_of_the_test")]


def value_of(client: redis.Redis, key: str) -> Any:
    kind = client.type(key)
    if kind == "zset":
        return dict(client.zrange(key, 0, -1, withscores=True))  # type: ignore[arg-type]
    return client.hgetall(key)


def test_the_keys_of_engagement_are_what_they_were(client: redis.Redis, tallied: Tallied) -> None:
    """Names and values as the versions before wrote them, but for what the meta says of itself."""
    tallied.send(event(), event(-20_000, device=None, ms=None), event(40_000, "ahead", None), event(ms=2**53 + 1))
    prefix = f"{{{tallied.namespace}}}:"
    found = {name: value_of(client, prefix + name) for name in tallied.key_names()}
    meta = found.pop("meta")
    assert meta.pop("counted") == UNSAID
    assert meta == {
        "generation": "g1",
        "topic_id": "t1",
        "window_ms": "60000",
        "bucket_ms": "10000",
        "max_future_ms": "15000",
        "late": "0",
        "future": "1",
        "as_of": "1767268800000",
        "window_start": "1767268740000",
        "lag": "0",
    }
    assert found == KEYS_OF_ENGAGEMENT


KEYS_OF_ENGAGEMENT: dict[str, Any] = {
    "bucket:1767268780000:content:count": {"c1": "1"},
    "bucket:1767268780000:content:ms": {"c1": "0"},
    "bucket:1767268780000:content_type:count": {"video": "1"},
    "bucket:1767268780000:content_type:ms": {"video": "0"},
    "bucket:1767268780000:device:count": {"(none)": "1"},
    "bucket:1767268780000:device:ms": {"(none)": "0"},
    "bucket:1767268800000:content:count": {"c1": "2"},
    "bucket:1767268800000:content:ms": {"c1": "8192:6"},
    "bucket:1767268800000:content_type:count": {"video": "2"},
    "bucket:1767268800000:content_type:ms": {"video": "8192:6"},
    "bucket:1767268800000:device:count": {"ios": "2"},
    "bucket:1767268800000:device:ms": {"ios": "8192:6"},
    "bucket:1767268840000:content:count": {"ahead": "1"},
    "bucket:1767268840000:content:ms": {"ahead": "5"},
    "bucket:1767268840000:content_type:count": {"(none)": "1"},
    "bucket:1767268840000:content_type:ms": {"(none)": "5"},
    "bucket:1767268840000:device:count": {"ios": "1"},
    "bucket:1767268840000:device:ms": {"ios": "5"},
    "buckets": {"1767268780000": 1767268780000.0, "1767268800000": 1767268800000.0},
    "display": {"c1": '{"slug":"slug of c1","title":"title of c1","content_type":"video"}'},
    "future": {"1767268840000": 1767268840000.0},
    "future-display": {"ahead": '{"slug":"slug of ahead","title":"title of ahead","content_type":null}'},
    "offsets": {"0": "4"},
    "view:content:count": {"c1": 3.0},
    "view:content:ms": {"c1": 9007199254740998.0},
    "view:content_type:count": {"video": 3.0},
    "view:content_type:ms": {"video": 9007199254740998.0},
    "view:device:count": {"(none)": 1.0, "ios": 2.0},
    "view:device:ms": {"(none)": 0.0, "ios": 9007199254740998.0},
}


def test_several_dimensions_have_something_to_show(client: redis.Redis, namespace: str) -> None:
    visits = make(client, namespace, VISITS)
    visits.send(event(-50_000, "old", "old page", "old site"), event(40_000, "c", "ahead", "site"))
    assert visits.key_names() >= {"display", "display:site", "future-display", "future-display:site"}
    visits.at(30_000)
    visits.send(event(30_000, "c", None, "site"))
    found = visits.assert_exact()
    assert found.display["site"].keys() == {"site"}
    (ranked,) = visits.views.top("site", "ms", 9).members
    assert (ranked.member, ranked.value, ranked.shown) == ("site", 10, found.display["site"]["site"])
    assert visits.views.top("kind", "bytes", 1).members[0].shown is None
    assert (visits.views.totals().count, visits.views.totals().sums) == (2, {"bytes": 10, "ms": 10, "again": 10})
    visits.at(7_200_000)
    visits.send()
    assert visits.key_names() == {"meta", "offsets"}


def changed(stream: EventStream, **views: Any) -> EventStream:
    return replace(stream, views=replace(stream.views, **views))


DEVICE = Dimension("device", "device")


@pytest.mark.parametrize(
    "other",
    [
        ORDERS,
        changed(PACKAGED, dimensions=PACKAGED.views.dimensions[:2]),
        changed(PACKAGED, dimensions=(*PACKAGED.views.dimensions, Dimension("kind", "event_type"))),
        changed(PACKAGED, dimensions=(*PACKAGED.views.dimensions[:2], replace(DEVICE, column="event_type"))),
        changed(PACKAGED, dimensions=(*PACKAGED.views.dimensions[:2], replace(DEVICE, shown=("slug",)))),
        changed(PACKAGED, measures=PACKAGED.views.measures[:1]),
        changed(PACKAGED, measures=(*PACKAGED.views.measures, Measure("seconds", "length_seconds"))),
        changed(PACKAGED, measures=(*PACKAGED.views.measures[:1], Measure("ms", "length_seconds"))),
        replace(PACKAGED, source=SourceTable("engagement_events", "id", "received_at")),
    ],
)
def test_what_is_counted_is_of_the_geometry(tallied: Tallied, other: EventStream) -> None:
    tallied.send(event())
    counts = Counts(tallied.client, tallied.namespace, WINDOW, other)
    assert not counts.fits(counts.state())
    tallied.counts, tallied.stream = counts, other
    assert tallied.refuse(tallied.batch(event())).reason == "geometry"


def test_what_the_events_are_besides_is_not_of_the_geometry(tallied: Tallied) -> None:
    other = replace(PACKAGED, name="other", enriched="SELECT 1", table="others", marts={}, meanings={})
    counts = Counts(tallied.client, tallied.namespace, WINDOW, other)
    assert counts.fits(counts.state())


def of_the_version_before(tallied: Tallied) -> None:
    tallied.client.hdel(f"{{{tallied.namespace}}}:meta", "counted")


def test_views_of_the_version_before_go_on(tallied: Tallied) -> None:
    tallied.send(event(-20_000), event(40_000, "ahead"))
    of_the_version_before(tallied)
    assert tallied.counts.fits(tallied.counts.state())
    tallied.send(event())
    tallied.at(50_000)
    tallied.send()
    tallied.assert_exact()


@pytest.mark.parametrize("stream", [ORDERS])
def test_views_that_do_not_say_what_they_count_are_those_of_engagement(tallied: Tallied) -> None:
    of_the_version_before(tallied)
    assert not tallied.counts.fits(tallied.counts.state())
    assert tallied.refuse(tallied.batch(event())).reason == "geometry"


AFTER = [(PACKAGED, ORDERS), (PACKAGED, VISITS), (VISITS, VISITS), (VISITS, PACKAGED), (ORDERS, PINGS)]


@pytest.mark.parametrize(
    ("before", "after", "loss"),
    [
        pytest.param(before, after, loss, id=f"{before.name}-{after.name}-{loss}")
        for before, after in AFTER
        for loss in ("nothing", "counted", "meta")
        # Views of other streams that lost their meta are of nobody knows what, unless the new ones count the same.
        if loss == "nothing" or before in (PACKAGED, after)
    ],
)
def test_nothing_of_what_was_counted_before_outlives_a_build(
    client: redis.Redis, namespace: str, before: EventStream, after: EventStream, loss: str
) -> None:
    live = make(client, namespace, before)
    live.send(event(), event(-20_000, "old"), event(40_000, "ahead", "ahead", "ahead"))
    if loss == "counted":
        of_the_version_before(live)
    if loss == "meta":
        client.unlink(f"{{{namespace}}}:meta")
    build = Tallied(client, Counts(client, namespace, WINDOW, after), Views(client, namespace, after), namespace, after)
    build.counts.begin("g2", "t1", {0: 0})
    batch = build.batch(event(5_000))
    assert isinstance(build.counts.apply(replace(batch, generation="g2"), build=True), Applied)
    assert all(client.ttl(f"{{{namespace}}}:{name}") > 0 for name in build.key_names() if name.startswith("build:"))
    assert build.counts.promote("g2", None if loss == "meta" else "g1") == "promoted"
    build.accepted = [event(5_000).as_of(after)]
    build.assert_exact()
    assert not any(name.startswith("build:") for name in build.key_names())


@pytest.mark.parametrize("said", ["[]", "no json", '{"dimensions": []}', ""])
def test_views_that_say_what_no_tally_wrote_are_told_and_built_anew(
    client: redis.Redis, shared_server: Server, tallied: Tallied, said: str
) -> None:
    tallied.send(event())
    client.hset(f"{{{tallied.namespace}}}:meta", "counted", said)
    with pytest.raises(StreamStopped, match="engagement-platform views rebuild"):
        tallied.counts.state()
    rebuild_views(settings_for(shared_server, tallied.namespace))
    tallied.counts.begin("g1", "t1", {0: 0})
    assert tallied.counts.promote("g1", None) == "promoted"
    tallied.offset, tallied.accepted = 0, []
    tallied.send(event())
    tallied.assert_exact()


def test_what_is_counted_is_said_in_one_way() -> None:
    assert counted_by(PACKAGED) == UNSAID
    assert len({counted_by(stream) for stream in (PACKAGED, ORDERS, VISITS, PINGS)}) == 4
    bare = replace(PINGS, views=Counted((Dimension("host", "host"),), (Measure("count", None),)))
    assert counted_by(bare) == counted_by(PINGS)
