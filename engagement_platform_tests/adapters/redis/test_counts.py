"""The script that counts, against a real server whose clock the test sets."""

from dataclasses import replace
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement_platform.adapters.redis.counts import Applied, Counts
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain.clocks import Between, Clocks, compare
from engagement_platform.domain.event_stream import EventStream
from engagement_platform_tests.adapters.redis.server import Server
from engagement_platform_tests.adapters.redis.tallied import CLOCK, NOW_MS, WINDOW, Happened, Tallied, event, make
from engagement_platform_tests.recount import bucket_of, is_future, is_late
from engagement_platform_tests.streams import ORDERS, PACKAGED

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("clock_of_the_test")]


@pytest.fixture(params=[PACKAGED, ORDERS], ids=lambda stream: stream.name)
def stream(request: pytest.FixtureRequest) -> EventStream:
    stream: EventStream = request.param
    return stream


events = st.builds(
    event,
    st.integers(-100_000, 60_000),
    st.sampled_from(["c1", "c2", "c3", None]),
    st.sampled_from(["video", "podcast", None]),
    st.sampled_from(["ios", "", "(none)", "a:b m1", None]),
    st.none() | st.integers(-(2**31), 2**31 - 1),
)


def alone(client: redis.Redis, stream: EventStream) -> Tallied:
    """Make a generation on a server that holds nothing else: to look through what examples leave takes long."""
    client.flushdb()
    client.set(CLOCK, NOW_MS)
    return make(client, f"test-{uuid4().hex[:8]}", stream)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1_500, 40_000), st.lists(events, max_size=8)), max_size=8))
def test_the_views_are_a_recount_at_every_moment(
    client: redis.Redis, any_stream: EventStream, steps: list[tuple[int, list[Happened]]]
) -> None:
    """Whatever arrives, late, ahead or out of order, and however the clock moves within its tolerance."""
    tallied = alone(client, any_stream)
    latest = 0
    for step, arrived in steps:
        tallied.at(latest + step)
        latest = max(latest, latest + step)
        applied = tallied.send(*arrived)
        buckets = [bucket_of(WINDOW, one.at) for one in arrived]
        assert applied.late == sum(is_late(WINDOW, bucket, applied.as_of_ms) for bucket in buckets)
        assert applied.future == sum(is_future(WINDOW, bucket, applied.as_of_ms) for bucket in buckets)
        tallied.assert_exact()


def shown_of(tallied: Tallied, **texts: str) -> dict[str, object]:
    """Return what is shown for videos, by the texts that they came with."""
    if tallied.stream.name == ORDERS.name:
        return {}
    return {
        "content": {
            member: {"slug": f"slug of {text}", "title": f"title of {text}", "content_type": "video"}
            for member, text in texts.items()
        }
    }


large = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53 - 1, 2**53, -(2**53), 2**53 + 1, 2**31, 1, -1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.lists(st.tuples(st.integers(-40_000, 30_000), large))), max_size=8)
)
def test_sums_are_exact_however_large_they_grow(
    client: redis.Redis, any_stream: EventStream, steps: list[tuple[int, list[tuple[int, int]]]]
) -> None:
    """A score is a double: the exact sum, rounded once. Nothing of a large value stays when it has left the window."""
    tallied = alone(client, any_stream)
    now = 0
    for step, arrived in steps:
        now += step
        tallied.at(now)
        tallied.send(*(event(now + ago, ms=ms) for ago, ms in arrived))
        tallied.assert_exact()


def test_more_members_than_one_call_takes(tallied: Tallied) -> None:
    tallied.send(*(event(-8 * i, f"c{i}") for i in range(2_500)), event(ms=None, content=None))
    tallied.assert_exact()
    tallied.at(61_000)
    tallied.send(event(60_000))
    assert len(tallied.assert_exact().views[tallied.first]) < 2_500


def test_a_batch_that_is_sent_again_changes_nothing(tallied: Tallied) -> None:
    tallied.send(event(), event())
    refused = tallied.refuse(tallied.batch(event(), event(), offset=0))
    assert (refused.reason, refused.state.offsets) == ("offsets", {0: 2})


def test_a_batch_beyond_the_offset_changes_nothing(tallied: Tallied) -> None:
    tallied.send(event())
    refused = tallied.refuse(tallied.batch(event(), offset=5))
    assert (refused.reason, refused.state.offsets) == ("offsets", {0: 1})


def test_an_empty_batch_finds_out_that_the_offsets_went_back(tallied: Tallied) -> None:
    """A replica that lagged took over while no events came."""
    assert tallied.refuse(tallied.batch(offset=7)).reason == "offsets"


def test_one_partition_that_does_not_fit_refuses_all(tallied: Tallied) -> None:
    batch = replace(tallied.batch(event()), offsets={0: (0, 1), 1: (3, 4)})
    assert tallied.refuse(batch).reason == "offsets"


def test_a_new_partition_starts_at_0(tallied: Tallied) -> None:
    tallied.send(event())
    batch = replace(tallied.batch(event()), offsets={0: (1, 1), 1: (0, 1)})
    assert isinstance(tallied.counts.apply(batch), Applied)
    assert tallied.views.offsets() == {0: 1, 1: 1}


def test_another_generation_is_refused(tallied: Tallied) -> None:
    refused = tallied.refuse(replace(tallied.batch(event()), generation="other"))
    assert (refused.reason, refused.state.generation) == ("generation", "g1")


def test_another_topic_is_refused(tallied: Tallied) -> None:
    refused = tallied.refuse(replace(tallied.batch(event()), topic_id="other"))
    assert (refused.reason, refused.state.topic_id) == ("topic", "t1")


@pytest.mark.parametrize("changed", [{"length_ms": 70_000}, {"bucket_ms": 5_000}, {"max_future_ms": 0}])
def test_another_window_is_refused(tallied: Tallied, changed: dict[str, int]) -> None:
    tallied.counts = Counts(tallied.client, tallied.namespace, replace(WINDOW, **changed), tallied.stream)
    refused = tallied.refuse(tallied.batch(event()))
    assert (refused.reason, refused.state.window) == ("geometry", WINDOW)


def test_without_data_a_batch_is_refused(client: redis.Redis, namespace: str) -> None:
    tallied = Tallied(
        client, Counts(client, namespace, WINDOW, PACKAGED), Views(client, namespace, PACKAGED), namespace
    )
    refused = tallied.refuse(tallied.batch(event()))
    assert (refused.reason, refused.state.generation, refused.state.offsets) == ("absent", None, {})
    assert tallied.views.as_of() is None
    assert list(tallied.views.top("content", "count", 5).members) == []


def test_a_clock_that_falls_back_a_little_makes_the_window_stand_still(tallied: Tallied) -> None:
    tallied.at(10_000)
    tallied.send(event())
    tallied.at(9_000)
    assert tallied.send(event()).as_of_ms == NOW_MS + 10_000
    tallied.assert_exact()


def test_a_clock_that_falls_back_far_is_refused(tallied: Tallied) -> None:
    """Buckets have left by the wrong clock: only a rebuild can bring them back."""
    tallied.at(600_000)
    tallied.send(event(600_000))
    tallied.at(0)
    assert tallied.refuse(tallied.batch(event())).reason == "clock"


def test_members_leave_with_their_last_event(tallied: Tallied) -> None:
    tallied.send(event(-50_000, "old", "podcast", "tv"), event(0, "new", ms=None))
    tallied.at(20_000)
    tallied.send()
    found = tallied.assert_exact()
    assert found.views[tallied.first] == {"new": [1, 0]}  # no milliseconds, but it is counted
    assert found.display == shown_of(tallied, new="new")


def test_a_member_whose_durations_cancel_out_stays(tallied: Tallied) -> None:
    tallied.send(event(ms=7), event(ms=-7))
    *_, last = tallied.assert_exact().views.values()
    assert list(last.values()) == [[2, 0]]


def test_after_a_long_pause_nothing_is_left(tallied: Tallied) -> None:
    tallied.send(*(event(-offset) for offset in range(0, 60_000, 10_000)))
    tallied.at(3_600_000)
    tallied.send()
    tallied.assert_exact()
    assert tallied.key_names() == {"meta", "offsets"}


def test_late_and_future_events_are_counted_apart(tallied: Tallied) -> None:
    assert tallied.send(event(-70_000), event(-70_000), event(30_000), event()).late == 2
    tallied.send(event(-70_000))
    meta = tallied.assert_exact().meta
    assert (meta["late"], meta["future"]) == ("3", "1")


def test_an_event_ahead_is_counted_when_its_time_comes(tallied: Tallied) -> None:
    tallied.send(event(40_000, "ahead"), event(40_000, "ahead", ms=None), event(41_000, None), event(0, "now"))
    assert tallied.assert_exact().views[tallied.first] == {"now": [1, 5]}
    tallied.at(30_000)
    tallied.send()
    found = tallied.assert_exact()
    assert found.views[tallied.first] == {"ahead": [2, 5], "(none)": [1, 5], "now": [1, 5]}
    assert found.display == shown_of(tallied, ahead="ahead", now="now")
    tallied.at(110_000)
    tallied.send()
    tallied.assert_exact()
    assert tallied.key_names() == {"meta", "offsets"}


def test_what_is_kept_for_later_outlives_a_pause_and_goes_with_the_window(tallied: Tallied) -> None:
    tallied.send(event(), event(600_000, "near"), event(610_000, "past"), event(3_000_000, "far"))
    tallied.at(660_000)
    tallied.send()
    assert tallied.assert_exact().views[tallied.first] == {"near": [1, 5], "past": [1, 5]}
    tallied.at(2_000_000)
    tallied.send()
    tallied.assert_exact()
    tallied.at(7_200_000)
    tallied.send()
    tallied.assert_exact()
    assert tallied.key_names() == {"meta", "offsets"}


def test_an_event_that_lies_more_than_an_hour_ahead_is_not_kept(tallied: Tallied) -> None:
    tallied.send(event(3_700_000))
    assert tallied.key_names() == {"meta", "offsets"}


def test_what_is_kept_moves_with_a_build(tallied: Tallied) -> None:
    tallied.counts.begin("g2", "t1", {0: 0})
    batch = replace(tallied.batch(event(40_000, "ahead")), generation="g2")
    assert isinstance(tallied.counts.apply(batch, build=True), Applied)
    assert tallied.counts.promote("g2", "g1") == "promoted"
    tallied.at(30_000)
    assert isinstance(tallied.counts.apply(replace(batch, offsets={0: (1, 1)}, buckets={})), Applied)
    assert tallied.views.snapshot().views[tallied.first] == {"ahead": [1, 5]}


@pytest.mark.parametrize(
    ("kafka", "reason"),
    [
        (Between(at_least_ms=NOW_MS + 10_001), "behind"),
        (Between(at_least_ms=NOW_MS + 10_000), None),
        (Between(at_most_ms=NOW_MS - 10_001), "ahead"),
        (Between(at_least_ms=NOW_MS - 300_000, at_most_ms=NOW_MS - 10_000), None),
    ],
)
def test_a_clock_far_from_kafkas_is_refused(tallied: Tallied, kafka: Between, reason: str | None) -> None:
    batch = tallied.batch(event(), kafka_clock=kafka)
    if reason is None:
        assert isinstance(tallied.counts.apply(batch), Applied)
    else:
        assert tallied.refuse(batch).reason == reason
    assert (compare(NOW_MS, kafka) is Clocks.AGREE) == (reason is None)  # one rule, in two languages


def test_a_title_is_that_of_the_last_event(tallied: Tallied) -> None:
    tallied.send(event())
    tallied.send(replace(event(), shown="🎧 جديد"))
    assert tallied.views.snapshot().display == shown_of(tallied, c1="🎧 جديد")


def test_all_keys_share_the_hash_tag(client: redis.Redis, tallied: Tallied) -> None:
    tallied.send(event())
    tallied.counts.begin("g2", "t1", {0: 0})
    keys = set(client.scan_iter(f"*{tallied.namespace}*"))
    assert len(keys) > 10
    assert all(key.startswith(f"{{{tallied.namespace}}}:") for key in keys)


def test_the_keys_of_scripts_and_readers_agree(tallied: Tallied) -> None:
    tallied.send(event())
    keys = Keys.live("x")
    views = tallied.stream.views
    named = {keys.meta, keys.offsets, keys.buckets, *keys.displays(views).values()}
    named |= {keys.view(one.name, measure.name) for one in views.dimensions for measure in views.measures}
    assert {f"{{x}}:{key}" for key in tallied.key_names() if not key.startswith("bucket:")} == named


def test_a_server_that_forgot_the_script_is_told_again(client: redis.Redis, tallied: Tallied) -> None:
    tallied.send(event())
    client.script_flush()
    tallied.send(event())
    tallied.assert_exact()


def test_a_server_killed_right_after_a_batch_has_counted_it(own_server: Server) -> None:
    with own_server.client() as client:
        client.set(CLOCK, NOW_MS)
        tallied = make(client, "crash")
        tallied.send(event(), event())
        own_server.kill()
        own_server.start()
        tallied.assert_exact()
        assert tallied.refuse(tallied.batch(event(), offset=0)).reason == "offsets"
        tallied.send(event())
        tallied.assert_exact()
