"""The scripts that count, against a real server whose clock the test sets."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement_platform.adapters.redis import scripts
from engagement_platform.adapters.redis.counts import Applied, Batch, Counts, Refused
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.views import Shown, Snapshot, Views
from engagement_platform.domain.playback import Playback, display_of
from engagement_platform.domain.windows import DIMENSIONS, MEASURES, NONE, Window, aggregate, recount
from engagement_platform_tests.adapters.redis.server import Server

pytestmark = pytest.mark.servers

NOW_MS = 1_767_268_800_000
WINDOW = Window.of_seconds(length=60, bucket=10, max_future=15)
CLOCK = "test:clock"
REAL_CLOCK = "local time = redis.call('TIME')\n"
TEST_CLOCK = (
    f"local time = {{math.floor(redis.call('GET', '{CLOCK}') / 1000), redis.call('GET', '{CLOCK}') % 1000 * 1000}}\n"
)


@pytest.fixture(autouse=True)
def clock_of_the_test(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    original = scripts.source

    def source(name: str) -> str:
        text = original(name)
        assert REAL_CLOCK in text
        return text.replace(REAL_CLOCK, TEST_CLOCK)

    monkeypatch.setattr(scripts, "source", source)
    client.set(CLOCK, NOW_MS)


def event(
    offset_ms: int = 0,
    content: str | None = "c1",
    kind: str | None = "video",
    device: str | None = "ios",
    ms: int | None = 5,
) -> Playback:
    ts = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOW_MS + offset_ms)
    return Playback(ts, content, kind, device, ms, f"slug of {content}", f"title of {content}")


@dataclass
class Tallied:
    """A live generation of one topic with one partition, and what was sent to it."""

    client: redis.Redis
    counts: Counts
    views: Views
    namespace: str
    offset: int = 0
    accepted: list[Playback] = field(default_factory=list)

    def batch(self, *events: Playback, offset: int | None = None) -> Batch:
        first = self.offset if offset is None else offset
        return Batch(
            generation="g1",
            topic_id="t1",
            offsets={0: (first, first + len(events))},
            buckets=aggregate(events, WINDOW.bucket_ms),
            display=display_of(events),
        )

    def send(self, *events: Playback) -> Applied:
        applied = self.counts.apply(self.batch(*events))
        assert isinstance(applied, Applied)
        self.offset += len(events)
        self.accepted += [e for e in events if not WINDOW.is_future(WINDOW.bucket_of(e.event_ts), applied.as_of_ms)]
        return applied

    def refuse(self, batch: Batch) -> Refused:
        """Send what must be refused, and prove that it changed nothing."""
        before = self.views.snapshot()
        outcome = self.counts.apply(batch)
        assert isinstance(outcome, Refused)
        assert self.views.snapshot() == before
        return outcome

    def at(self, offset_ms: int) -> None:
        self.client.set(CLOCK, NOW_MS + offset_ms)

    def key_names(self) -> set[str]:
        prefix = f"{{{self.namespace}}}:"
        return {key.removeprefix(prefix) for key in self.client.scan_iter(prefix + "*")}

    def assert_exact(self) -> Snapshot:
        """Compare with a recount from scratch, and look for leftovers."""
        found = self.views.snapshot()
        assert found.views == recount(self.accepted, WINDOW, found.as_of_ms)
        assert int(found.meta["window_start"]) == WINDOW.start(found.as_of_ms)
        assert set(found.display) == found.views["content"].keys() - {NONE}
        live = {b for b in aggregate(self.accepted, WINDOW.bucket_ms) if WINDOW.is_live(b, found.as_of_ms)}
        assert {int(key.split(":")[1]) for key in self.key_names() if key.startswith("bucket:")} == live
        return found


def make(client: redis.Redis, namespace: str, window: Window = WINDOW) -> Tallied:
    tallied = Tallied(client, Counts(client, namespace, window), Views(client, namespace), namespace)
    tallied.counts.begin("g1", "t1", {0: 0})
    assert tallied.counts.promote("g1", None) == "promoted"
    return tallied


@pytest.fixture
def tallied(client: redis.Redis, namespace: str) -> Tallied:
    return make(client, namespace)


events = st.builds(
    event,
    st.integers(-100_000, 60_000),
    st.sampled_from(["c1", "c2", "c3", None]),
    st.sampled_from(["video", "podcast", None]),
    st.sampled_from(["ios", "", "(none)", "a:b m1", None]),
    st.none() | st.integers(-(2**31), 2**31 - 1),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-1_500, 40_000), st.lists(events, max_size=8)), max_size=8))
def test_the_views_are_a_recount_at_every_moment(client: redis.Redis, steps: list[tuple[int, list[Playback]]]) -> None:
    """Whatever arrives, late, ahead or out of order, and however the clock moves within its tolerance."""
    tallied = make(client, f"test-{uuid4().hex[:8]}")
    clock = 0
    for step, arrived in steps:
        clock += step
        tallied.at(clock)
        applied = tallied.send(*arrived)
        buckets = [WINDOW.bucket_of(e.event_ts) for e in arrived]
        assert applied.late == sum(WINDOW.is_late(bucket, applied.as_of_ms) for bucket in buckets)
        assert applied.future == sum(WINDOW.is_future(bucket, applied.as_of_ms) for bucket in buckets)
        tallied.assert_exact()


def test_more_members_than_one_call_takes(tallied: Tallied) -> None:
    tallied.send(*(event(-8 * i, f"c{i}") for i in range(2_500)), event(ms=None, content=None))
    tallied.assert_exact()
    tallied.at(61_000)
    tallied.send(event(60_000))
    assert len(tallied.assert_exact().views["content"]) < 2_500


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
    tallied.counts = Counts(tallied.client, tallied.namespace, replace(WINDOW, **changed))
    refused = tallied.refuse(tallied.batch(event()))
    assert (refused.reason, refused.state.window) == ("geometry", WINDOW)


def test_without_data_a_batch_is_refused(client: redis.Redis, namespace: str) -> None:
    tallied = Tallied(client, Counts(client, namespace, WINDOW), Views(client, namespace), namespace)
    refused = tallied.refuse(tallied.batch(event()))
    assert (refused.reason, refused.state.generation, refused.state.offsets) == ("absent", None, {})
    assert tallied.views.as_of() is None
    assert tallied.views.top("content", "count", 5) == []


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
    assert found.views["content"] == {"new": [1, 0]}  # no milliseconds, but it is counted
    assert found.display == {"new": Shown("slug of new", "title of new", "video")}


def test_a_member_whose_durations_cancel_out_stays(tallied: Tallied) -> None:
    tallied.send(event(ms=7), event(ms=-7))
    assert tallied.assert_exact().views["device"] == {"ios": [2, 0]}


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


def test_a_title_is_that_of_the_last_event(tallied: Tallied) -> None:
    tallied.send(event())
    tallied.send(Playback(event().event_ts, "c1", "video", None, None, None, "🎧 جديد"))
    assert tallied.views.snapshot().display == {"c1": Shown(None, "🎧 جديد", "video")}


def test_all_keys_share_the_hash_tag(client: redis.Redis, tallied: Tallied) -> None:
    tallied.send(event())
    tallied.counts.begin("g2", "t1", {0: 0})
    keys = set(client.scan_iter(f"*{tallied.namespace}*"))
    assert len(keys) > 10
    assert all(key.startswith(f"{{{tallied.namespace}}}:") for key in keys)


def test_the_keys_of_scripts_and_readers_agree(tallied: Tallied) -> None:
    tallied.send(event())
    keys = Keys.live("x")
    named = {keys.meta, keys.offsets, keys.display, keys.buckets}
    named |= {keys.view(dimension, measure) for dimension in DIMENSIONS for measure in MEASURES}
    assert {f"{{x}}:{key}" for key in tallied.key_names() if not key.startswith("bucket:")} == named


def test_a_server_that_forgot_the_script_is_told_again(client: redis.Redis, tallied: Tallied) -> None:
    tallied.send(event())
    client.script_flush()
    tallied.send(event())
    tallied.assert_exact()


# Builds


@pytest.fixture
def build(tallied: Tallied) -> Iterator[Batch]:
    """A build g2 beside g1, and a batch for it."""
    tallied.send(event(content="live"))
    tallied.counts.begin("g2", "t2", {0: 100, 1: 0})
    batch = replace(tallied.batch(event(content="built")), generation="g2", topic_id="t2", offsets={0: (100, 101)})
    assert isinstance(tallied.counts.apply(batch, build=True), Applied)
    yield batch
    tallied.counts.discard("g2")


def test_nobody_sees_a_build_until_it_replaces_everything(tallied: Tallied, build: Batch) -> None:
    before = tallied.assert_exact()
    assert before.views["content"].keys() == {"live"}
    assert tallied.counts.promote("g2", "g1") == "promoted"
    after = tallied.views.snapshot()
    assert after.views["content"].keys() == after.display.keys() == {"built"}
    assert (after.offsets, after.meta["generation"], after.meta["topic_id"]) == ({0: 101, 1: 0}, "g2", "t2")
    assert not any(key.startswith("build:") for key in tallied.key_names())


def test_a_promoted_build_never_expires_and_goes_on(client: redis.Redis, tallied: Tallied, build: Batch) -> None:
    tallied.counts.promote("g2", "g1")
    assert {client.ttl(f"{{{tallied.namespace}}}:{key}") for key in tallied.key_names()} == {-1}
    onwards = replace(build, offsets={0: (101, 102), 1: (0, 0)})
    assert isinstance(tallied.counts.apply(onwards), Applied)
    assert tallied.views.snapshot().views["content"] == {"built": [2, 10]}


def test_every_key_of_a_build_expires_with_its_process(client: redis.Redis, tallied: Tallied, build: Batch) -> None:
    keys = [key for key in tallied.key_names() if key.startswith("build:")]
    assert len(keys) > 10
    assert all(0 < client.ttl(f"{{{tallied.namespace}}}:{key}") <= 60 for key in keys)


def test_of_two_builds_one_is_promoted(tallied: Tallied, build: Batch) -> None:
    tallied.counts.begin("g3", "t2", {0: 0})
    assert tallied.counts.promote("g2", "g1") == "promoted"
    assert tallied.counts.promote("g3", "g1") == "raced"
    assert tallied.counts.state().generation == "g2"


def test_a_build_that_is_gone_is_not_promoted(tallied: Tallied, build: Batch) -> None:
    tallied.counts.discard("g2")
    assert tallied.counts.promote("g2", "g1") == "gone"
    tallied.assert_exact()


def test_a_discarded_build_leaves_nothing(tallied: Tallied, build: Batch) -> None:
    tallied.counts.discard("g2")
    assert not any(key.startswith("build:") for key in tallied.key_names())
    tallied.assert_exact()


def test_the_state_of_a_build_is_its_own(tallied: Tallied, build: Batch) -> None:
    assert tallied.counts.state("g2").offsets == {0: 101, 1: 0}
    assert tallied.counts.state().offsets == {0: 1}


# Readers


def test_a_ranking_with_what_to_show(tallied: Tallied) -> None:
    tallied.send(event(content="a", ms=10), event(content="b", ms=1), event(content="b", ms=1), event(content=None))
    by_count = tallied.views.top("content", "count", 1)
    assert [(one.member, one.value, one.shown) for one in by_count] == [
        ("b", 2, Shown("slug of b", "title of b", "video"))
    ]
    assert [one.member for one in tallied.views.top("content", "ms", 9)] == ["a", NONE, "b"]
    assert [(one.member, one.value, one.shown) for one in tallied.views.top("device", "count", 9)] == [("ios", 4, None)]
    assert tallied.views.top("content", "ms", 9)[1].shown is None


def test_totals_are_those_of_all_events(tallied: Tallied) -> None:
    tallied.send(event(ms=10), event(device=None, ms=None), event(ms=-3))
    totals = tallied.views.totals()
    assert (totals.count, totals.ms) == (3, 7)


def test_freshness_is_read_by_redis_clock(tallied: Tallied) -> None:
    tallied.at(1_234)
    tallied.send()
    assert tallied.views.as_of() == NOW_MS + 1_234
    assert tallied.views.now_ms() > NOW_MS


def test_sums_stay_integers_beyond_14_digits(tallied: Tallied) -> None:
    batch = replace(
        tallied.batch(event()),
        buckets={WINDOW.bucket_of(event().event_ts): {d: {"x": [1, 2**52 + 1]} for d in DIMENSIONS}},
    )
    assert isinstance(tallied.counts.apply(batch), Applied)
    assert tallied.views.snapshot().views["content"] == {"x": [1, 2**52 + 1]}


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
