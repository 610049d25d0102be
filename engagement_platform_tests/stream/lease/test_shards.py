"""A lease for each shard, and how one number of shards follows another."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.domain import leases as rules
from engagement_platform.domain.assignment import Assignment, may_divide, still_at_work
from engagement_platform.domain.errors import Superseded
from engagement_platform.domain.leases import TURN_PATIENCE
from engagement_platform.domain.shards import Shard, shards_of
from engagement_platform.settings import Settings
from engagement_platform.stream.lease import LeaseControl, hold_lease
from engagement_platform_tests.streaming import wait_for

LOOP = "tally"


class Run:
    """A run of one loop in a thread, which claims and then streams until it has to stop."""

    def __init__(self, settings: Settings, run_id: str, shard: Shard) -> None:
        self.run_id, self.shard = run_id, shard
        self.streams, self.ended, self.may_end = threading.Event(), threading.Event(), threading.Event()
        self.may_end.set()
        self.why = ""
        self.control: LeaseControl | None = None
        self._settings = settings
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with hold_lease(
            self._settings, run_id=self.run_id, loop=LOOP, loops=(LOOP,), lease_seconds=60, shard=self.shard
        ) as control:
            self.control = control
            try:
                control.claim()
                self.streams.set()
                while not control.wait(0.02):
                    pass
                self.may_end.wait(60)
                self.streams.clear()
                self.why = control.stop.reason or ""
            except Superseded as end:
                self.why = str(end)
        self.ended.set()

    def is_told(self) -> bool:
        return self.control is not None and self.control.stop.reason is not None

    def finish(self) -> None:
        self.may_end.set()
        if self.control is not None:
            self.control.stop.set("The test ends.")
        self.thread.join(20)


class Runs(list[Run]):
    """The runs of a test."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def begin(self, number: int, run: str = "", only: int | None = None) -> list[Run]:
        """Start a run for each shard, or for one of them."""
        begun = [
            Run(self._settings, f"{run or number}-{shard.index}", shard)
            for shard in shards_of(number)
            if only in (None, shard.index)
        ]
        self.extend(begun)
        return begun


@pytest.fixture
def runs(platform: Settings) -> Iterator[Runs]:
    made = Runs(platform)
    yield made
    for run in made:
        run.finish()


@pytest.fixture
def leases(platform: Settings) -> Iterator[Leases]:
    with Leases.opened(platform, "test") as made:
        yield made


def stream(runs: list[Run]) -> None:
    for run in runs:
        assert run.streams.wait(20), f"{run.run_id} does not stream: {run.why}"


def test_each_shard_has_a_lease_of_its_own(runs: Runs, platform: Settings) -> None:
    stream(runs.begin(3))
    for shard in shards_of(3):
        with Leases.opened(platform, "test", shard.index) as leases:
            lease = leases.snapshot().lease
        assert lease is not None
        assert (lease.run_id, lease.epoch, lease.shards) == (f"3-{shard.index}", 1, 3)


def test_the_number_changes_and_no_loop_begins_before_those_of_the_old_have_ended(runs: Runs, leases: Leases) -> None:
    """1 → 3 → 2. Two shards that think that they own one partition would have to stream at the same time."""
    old = runs.begin(1)
    stream(old)
    for number in (3, 2):
        for run in old:
            run.may_end.clear()
        leases.declare(number, "a test")
        new = runs.begin(number)
        for run in old:
            wait_for(run.is_told, f"{run.run_id} to be told")
        assert not any(run.streams.is_set() for run in new), "those of the old are at their last batch"
        for run in old[1:]:
            run.may_end.set()
            assert run.ended.wait(10)
        assert not any(run.streams.is_set() for run in new), "one of the old is still at it"
        old[0].may_end.set()
        stream(new)
        assert all(run.ended.is_set() for run in old)
        assert {run.why for run in old} == {"The partitions are divided anew among shards."}
        old = new


def test_those_of_the_old_go_on_until_each_shard_of_the_new_is_ready(runs: Runs, leases: Leases) -> None:
    old = runs.begin(1)
    stream(old)
    leases.declare(2, "a test")
    (early,) = runs.begin(2, only=0)
    wait_for(lambda: leases.ready_shards(1, 1) == {0}, "the first to be ready")
    assert not old[0].ended.wait(1)
    assert not early.streams.is_set()
    stream([early, *runs.begin(2, only=1)])
    assert old[0].ended.is_set()


def test_a_run_that_is_frozen_while_the_number_changes_has_lost_its_partitions_when_it_wakes(
    runs: Runs, leases: Leases, platform: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SILENT_AFTER", timedelta(seconds=1))
    awaits = leases.register("frozen", LOOP)
    leases.claim("frozen", awaits, 60, [LOOP])
    leases.declare(2, "a test")
    new = runs.begin(2)
    stream(new)
    zombie = LeaseControl(platform, "frozen", LOOP, (LOOP,), lease_seconds=60, end_hung=lambda: None)
    assert not zombie.owns_lease()
    leases.beat("frozen", LOOP, awaits, {})
    assert not new[0].ended.wait(1), "whoever wakes takes nothing back"
    zombie.start()
    with pytest.raises(Superseded):
        zombie.claim()
    zombie.end(planned=False)


def test_one_shard_is_killed_and_it_alone_is_replaced(runs: Runs, platform: Settings) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(Leases.opened(platform, "other", 1))
        stream(runs.begin(2, only=0))
        awaits = other.register("2-1", LOOP, shards=2)
        other.claim("2-1", awaits, 60, [LOOP], assignment=Assignment(1, 2))
        other.beat("2-1", LOOP, awaits, {}, generation=1)
        (spare,) = runs.begin(2, run="spare", only=1)
        assert not spare.streams.wait(1)
        other.session.close()  # with the connection goes the sign of life, as of a process that was killed
        stream([spare])
    assert runs[0].streams.is_set()


def test_a_waiting_run_of_the_old_number_ends(runs: Runs, leases: Leases) -> None:
    stream(runs.begin(1))
    (spare,) = runs.begin(1, run="spare")
    wait_for(lambda: leases.snapshot("spare-0").of("spare-0"), "the spare to wait")
    leases.declare(2, "a test")
    assert spare.ended.wait(10)
    assert runs[0].streams.is_set(), "a number that was declared ends nobody who streams"


def test_a_run_of_another_number_is_one_too_many_while_somebody_lives_by_that_which_was_declared(
    runs: Runs, leases: Leases
) -> None:
    stream(runs.begin(2))
    (stray,) = runs.begin(3, only=2)
    assert stray.ended.wait(10)
    assert "divided among 2, and this run was made for shard 2 of 3" in stray.why
    assert leases.assignment() == Assignment(1, 2)


def test_where_nobody_lives_a_run_declares_its_number(runs: Runs, leases: Leases) -> None:
    for run in runs.begin(2):
        stream([run])
        run.finish()
    stream(runs.begin(1))
    assert leases.assignment() == Assignment(2, 1)


def test_what_was_declared_keeps_an_earlier_run_from_claiming(leases: Leases) -> None:
    awaits = leases.register("early", LOOP)
    leases.declare(2, "a test")
    leases.claim("early", awaits, 60, [LOOP])
    assert leases.latest().lease is None
    leases.declare(2, "a test again")
    assert leases.assignment() == Assignment(1, 2)


def test_a_new_number_waits_for_all_of_its_shards_but_not_for_ever() -> None:
    assert not may_divide({0, 1}, 3, timedelta(0))
    assert may_divide({0, 1, 2}, 3, timedelta(0))
    assert may_divide({0}, 3, TURN_PATIENCE)


def test_a_lease_that_was_released_is_no_former_one(leases: Leases) -> None:
    leases.claim("old", leases.register("old", LOOP), 60, [LOOP])
    assert [one.lease.run_id for one in leases.former(1) if one.lease] == ["old"]
    assert leases.former(0) == []
    leases.end("old", LOOP, {})
    assert leases.former(1) == []


def test_a_former_lease_is_seen_behind_the_one_that_took_over(leases: Leases) -> None:
    leases.claim("old", leases.register("old", LOOP), 60, [LOOP])
    leases.declare(2, "a test")
    awaits = leases.register("new", LOOP, shards=2)
    leases.claim("new", awaits, 60, [LOOP], assignment=Assignment(1, 2))
    former = leases.former(1)
    assert still_at_work(former, LOOP) == ["old"]
    leases.end("old", LOOP, {})
    assert still_at_work(leases.former(1), LOOP) == []
