"""How loops stand over all shards."""

from datetime import UTC, datetime, timedelta
from typing import Any

from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.loop_state import Activity, LoopState, to_object
from engagement_platform.domain.progress import AS_OF, EVENTS, LAG
from engagement_platform.domain.shard_status import ShardStatus, left_of, over_all
from engagement_platform.domain.status import LoopStatus, stands_still

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIVIDED = frozenset({"tally"})


def told(loop: str = "tally", silent: float = 0.5, *, ended: bool = False, **figures: Any) -> LoopStatus:
    state = {"state": to_object(LoopState(Activity.STREAMS, 1.0))}
    return LoopStatus(loop, silent, ended, state | figures)


def shard(index: int, *loops: LoopStatus, released: bool = False) -> ShardStatus:
    lease = Lease(1, f"run {index}", NOW, NOW + timedelta(hours=1), NOW if released else None, ("tally",))
    beats = tuple(Loop(lease.run_id, loop.loop, 1, NOW, NOW, NOW if loop.ended else None) for loop in loops)
    return ShardStatus(index, LeaseSnapshot(NOW, lease, beats), {loop.loop: loop for loop in loops})


def test_a_single_shard_is_as_it_is() -> None:
    one = shard(0, told("relay"), told(events=3))
    assert over_all([one], DIVIDED) is one.loops


def test_sums_are_sums_and_what_holds_is_as_of_the_shard_that_lags() -> None:
    first = shard(0, told("relay", events=9), told(events=3, lag=1, as_of=100.0, latency=None))
    loops = over_all([first, shard(1, told(events=4, lag=5, as_of=90.0))], DIVIDED)
    figures = loops["tally"].figures
    assert (figures.count(EVENTS), figures.gauge(LAG), figures.gauge(AS_OF)) == (7, 6, 90)
    assert loops["relay"].figures.count(EVENTS) == 9


def test_what_is_not_known_of_one_shard_is_not_known_of_all() -> None:
    figures = over_all([shard(0, told(lag=1, as_of=100.0)), shard(1, told())], DIVIDED)["tally"].figures
    assert (figures.gauge(LAG), figures.gauge(AS_OF)) == (None, None)


def test_a_shard_that_has_nothing_to_do_hides_nothing_of_the_others() -> None:
    idle = told(state=to_object(LoopState(Activity.IDLE, 1.0, reason="it has no partition")))
    loop = over_all([shard(0, told(lag=1, as_of=100.0)), shard(1, idle)], DIVIDED)["tally"]
    assert (loop.lag, loop.figures.gauge(AS_OF)) == (1, 100)
    assert loop.state is not None
    assert loop.state.kind is Activity.STREAMS


def test_one_shard_that_stands_still_shows_in_the_whole_and_is_named() -> None:
    waits = told(state=to_object(LoopState(Activity.WAITS, 5.0, "Redis", "no answer")))
    loop = over_all([shard(0, told()), shard(1, waits)], DIVIDED)["tally"]
    assert stands_still(loop, None, 10.0)
    assert loop.state == LoopState(Activity.WAITS, 5.0, "Redis", "shard 1: no answer")


def test_a_loop_is_as_silent_as_the_shard_that_is_silent_for_longest() -> None:
    loop = over_all([shard(0, told()), shard(1, told(silent=40.0))], DIVIDED)["tally"]
    assert loop.is_silent


def test_a_shard_that_nobody_took_over_is_missing_also_where_it_ended_as_planned() -> None:
    left = shard(1, told(silent=40.0, ended=True), released=True)
    for loops in ([told()], [told(ended=True)]):
        assert over_all([shard(0, *loops), left], DIVIDED)["tally"].is_silent


def test_the_loop_that_one_shard_has_alone_is_missing_where_nobody_took_that_shard_over() -> None:
    left = shard(0, told("relay", silent=40.0, ended=True), told(silent=40.0, ended=True), released=True)
    assert over_all([left, shard(1, told())], DIVIDED)["relay"].is_silent


def test_a_shard_is_left_where_others_stream() -> None:
    lives, left = shard(0, told()), shard(1, told(ended=True), released=True)
    assert [one.index for one in left_of([lives, left])] == [1]
    assert left_of([left]) == left_of([lives]) == left_of(()) == [], "then nobody streams, or all do"


def test_a_loop_that_has_not_begun_in_one_shard_has_not_begun() -> None:
    assert over_all([shard(0, told("relay"), told()), shard(1)], DIVIDED).keys() == {"relay"}
