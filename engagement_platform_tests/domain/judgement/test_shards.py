"""What is wrong with a stream whose partitions several runs divide: which of them, and what the others have of it."""

from datetime import timedelta
from typing import Any

from engagement_platform.domain.conditions import Condition, Kind
from engagement_platform.domain.judgement.standing import Standing
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.leases import Lease, LeaseSnapshot, Loop
from engagement_platform.domain.shard_status import ShardStatus, over_all
from engagement_platform.domain.status import LoopStatus
from engagement_platform.stream.registry import DIVIDED, NAMES
from engagement_platform_tests.domain.judgement.standings import AT, EXPECTED, NOW, STREAMS, waits


def shard(index: int, *, silent: float = 0.5, has_lease: bool = True, **loops: dict[str, Any] | None) -> ShardStatus:
    """A shard of which all is well, but for what is changed: of a loop by its name; None has not begun."""
    if not has_lease:
        return ShardStatus(index, LeaseSnapshot(NOW, None, ()), {})
    names = [name for name in NAMES if (index == 0 or name in DIVIDED) and loops.get(name, {}) is not None]
    beat = NOW - timedelta(seconds=silent)
    lease = Lease(3, f"run {index}", NOW - timedelta(minutes=9), NOW + timedelta(minutes=1), None, tuple(names))
    told = {name: LoopStatus(name, silent, ended=False, progress=loops.get(name) or STREAMS) for name in names}
    return ShardStatus(
        index, LeaseSnapshot(NOW, lease, tuple(Loop(lease.run_id, name, 3, beat, beat, None) for name in names)), told
    )


def wrong(*shards: ShardStatus) -> list[Condition]:
    """Judge shards as they are read: loops over those that somebody has."""
    living = [one for one in shards if one.lives] or list(shards)
    return conditions_of(
        Standing("engagement", living[0].snapshot, over_all(living, DIVIDED), {}, EXPECTED, shards=shards)
    )


def test_of_shards_that_stream_there_is_nothing() -> None:
    assert wrong(shard(0), shard(1), shard(2)) == []


def test_a_shard_that_nobody_has_is_said_once_and_the_others_are_not_said_to_rest() -> None:
    (only,) = wrong(shard(0), shard(1, silent=44.0), shard(2))
    assert (only.kind, only.subject, only.form, only.since) == (
        Kind.NOBODY_STREAMS, "shard 1", "shard_run_is_silent", AT - 44,
    )  # fmt: skip
    assert only.loops == ("tally", "stage", "forward")
    assert "keep_engagement_stream_shard_1_alive" in only.todo
    assert "The other shards go on" in only.means


def test_a_shard_that_never_had_a_run_is_one_that_nobody_has() -> None:
    (only,) = wrong(shard(0), shard(1, has_lease=False))
    assert (only.form, only.what) == ("shard_never_streamed", "Nobody streams shard 1. It has had no run yet.")


def test_without_the_first_shard_nothing_is_published_and_the_others_go_on() -> None:
    (only,) = wrong(shard(0, silent=44.0), shard(1))
    assert (only.subject, only.loops) == ("shard 0", NAMES)
    assert "new events wait in the source" in only.means
    assert "keep_engagement_stream_alive" in only.todo


def test_where_no_shard_has_a_run_it_is_said_once() -> None:
    (only,) = wrong(shard(0, silent=44.0), shard(1, silent=44.0))
    assert (only.subject, only.form) == ("", "run_is_silent")


def test_two_shards_that_nobody_has_are_two_conditions() -> None:
    found = wrong(shard(0), shard(1, silent=44.0), shard(2, silent=50.0))
    assert [one.subject for one in found] == ["shard 1", "shard 2"]
    assert len({one.key for one in found}) == 2


def test_what_stands_still_in_one_shard_is_said_with_its_number_beside_one_that_nobody_has() -> None:
    left, still = wrong(shard(0), shard(1, tally=waits("Redis at h:2")), shard(2, silent=44.0))
    assert left.subject == "shard 2"
    assert still.what == "Tally waits for Redis at h:2 (shard 1: Connection refused)."


def test_a_loop_that_gives_no_sign_of_life_is_said_of_its_shard_and_run() -> None:
    frozen = shard(1)
    loops = {**frozen.loops, "tally": LoopStatus("tally", 40.0, ended=False, progress=STREAMS)}
    (only,) = wrong(shard(0), ShardStatus(1, frozen.snapshot, loops))
    assert only.what == "Tally of shard 1 has given no sign of life."
    assert "see the run run 1" in only.todo


def test_a_loop_that_has_not_begun_is_said_of_its_shard() -> None:
    (only,) = wrong(shard(0), shard(1, stage=None))
    assert only.what == "Stage of shard 1 has not begun in the run that streams."
