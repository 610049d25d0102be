"""Boards over time: a run that streams, a run that waits, and what a machine and a database do to both."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.domain.leases import (
    Lease,
    LeaseSnapshot,
    Loop,
    Watch,
    go_on_watching,
    may_claim,
    pause_before_claim,
)

FOUR = ("relay", "tally", "stage", "forward")
START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = 0.25
BEAT, BACK_WITHIN = 1.0, 1.4
"""Seconds between beats, and in which a loop whose session was cut is back."""
LEASE = 150.0


@dataclass
class Process:
    """One loop in its process: it beats each second while it may run and its session stands."""

    name: str
    run_id: str
    awaits: int
    beat_at: float = 0.0
    connected: bool = True
    cut_at: float = 0.0
    runs_from: float = 0.0
    """Until then it is starved, frozen, or being started again."""
    watch: Watch | None = None
    looks_at: float = 0.0
    same_session: bool = False

    def row(self) -> Loop:
        return Loop(self.run_id, self.name, self.awaits, START, at(self.beat_at), None, self.connected)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class World:
    """The holder and the run that waits; the database may be away until a time."""

    now: float = 0.0
    away_until: float = 0.0
    claimed_at: float | None = None
    holder: list[Process] = field(default_factory=lambda: [Process(name, "old", 7) for name in FOUR])
    spare: list[Process] = field(default_factory=lambda: [Process(name, "new", 8) for name in FOUR])
    dead: set[int] = field(default_factory=set)

    @property
    def everybody(self) -> list[Process]:
        return [*self.holder, *self.spare]

    def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until and self.claimed_at is None:
            self.now += TICK
            if self.now >= self.away_until:
                for process in self.everybody:
                    self.act(process)

    def act(self, process: Process) -> None:
        if id(process) in self.dead or self.now < process.runs_from:
            return
        if not process.connected:
            if self.now - max(process.cut_at, process.runs_from, self.away_until) < BACK_WITHIN:
                return
            process.connected, process.same_session, process.beat_at = True, False, self.now
        if self.now - process.beat_at >= BEAT:
            process.beat_at = self.now
        if process.run_id == "new" and self.now >= process.looks_at:
            self.look(process)

    def look(self, process: Process) -> None:
        process.watch = go_on_watching(process.watch, at(self.now), same_session=process.same_session)
        process.same_session = True
        lease = Lease(7, "old", START, at(LEASE), None, FOUR)
        snapshot = LeaseSnapshot(at(self.now), lease, tuple(each.row() for each in self.everybody), process.watch.since)
        if may_claim(snapshot, "new", FOUR):
            self.claimed_at = self.now
        process.looks_at = self.now + pause_before_claim(snapshot, timedelta(seconds=0.5)).total_seconds()

    # What happens

    def cut(self, process: Process) -> None:
        process.connected, process.cut_at = False, self.now

    def kill(self, process: Process) -> None:
        self.cut(process)
        self.dead.add(id(process))

    def restart(self, process: Process, seconds: float) -> None:
        """Kill one op: Dagster starts it again after so long."""
        self.cut(process)
        process.runs_from = self.now + seconds

    def starve(self, processes: list[Process], seconds: float) -> None:
        for process in processes:
            process.runs_from = max(process.runs_from, self.now + seconds)

    def take_database_away(self, seconds: float) -> None:
        for process in self.everybody:
            self.cut(process)
        self.away_until = self.now + seconds


loops = st.sampled_from(FOUR)
faults = st.one_of(
    st.tuples(st.just("starve one"), loops, st.floats(0, 13)),
    st.tuples(st.just("starve all but one"), loops, st.floats(0, 13)),
    st.tuples(st.just("starve the holder"), loops, st.floats(0, 2.4)),
    st.tuples(st.just("starve all"), loops, st.floats(0, 40)),
    st.tuples(st.just("starve one that waits"), loops, st.floats(0, 40)),
    st.tuples(st.just("restart one"), loops, st.floats(0, 10)),
    st.tuples(st.just("cut one"), loops, st.just(0.0)),
    st.tuples(st.just("cut all"), loops, st.just(0.0)),
    st.tuples(st.just("take the database away"), loops, st.floats(0, 40)),
)


def inflict(world: World, what: str, name: str, seconds: float) -> None:
    one = next(process for process in world.holder if process.name == name)
    starved = {
        "starve one": [one],
        "starve all but one": [process for process in world.holder if process is not one],
        "starve the holder": world.holder,
        "starve all": world.everybody,
        "starve one that waits": [process for process in world.spare if process.name == name],
    }
    match what:
        case "restart one":
            world.restart(one, seconds)
        case "cut one":
            world.cut(one)
        case "cut all":
            for process in world.holder:
                world.cut(process)
        case "take the database away":
            world.take_database_away(seconds)
        case _:
            world.starve(starved[what], seconds)
    world.pass_by(seconds + 3)


def troubled(events: list[tuple[str, str, float]], offset: float) -> World:
    """Return a world some time after these faults, which cost nobody the lease."""
    world = World()
    world.pass_by(5)
    for what, name, seconds in events:
        inflict(world, what, name, seconds)
    world.pass_by(5 + offset)
    assert world.claimed_at is None
    return world


@settings(max_examples=40)
@given(st.lists(faults, max_size=5))
def test_a_healthy_run_is_not_superseded_before_its_time(events: list[tuple[str, str, float]]) -> None:
    """Whoever is slow, starved, cut off for a moment, or restarted by its run keeps the lease; so does a database's."""
    world = World()
    world.pass_by(5)
    for what, name, seconds in events:
        if world.now + seconds + 3 < LEASE:
            inflict(world, what, name, seconds)
            assert world.claimed_at is None, f"superseded after {world.now} s, on {what} of {name} for {seconds} s"
    world.pass_by(LEASE - world.now - 1)
    assert world.claimed_at is None
    world.pass_by(5)
    assert world.claimed_at is not None, "its time is over"
    assert LEASE <= world.claimed_at < LEASE + 1


@settings(max_examples=40)
@given(st.lists(faults, max_size=3), st.floats(0, 1))
def test_a_killed_run_is_replaced_within_four_seconds(events: list[tuple[str, str, float]], offset: float) -> None:
    world = troubled(events, offset)
    killed = world.now
    for process in world.holder:
        world.kill(process)
    world.pass_by(10)
    assert world.claimed_at is not None
    assert world.claimed_at - killed <= 4


@settings(max_examples=40)
@given(st.lists(faults, max_size=3), st.floats(0, 1))
def test_a_frozen_run_is_replaced_within_five_seconds(events: list[tuple[str, str, float]], offset: float) -> None:
    world = troubled(events, offset)
    frozen = world.now
    world.starve(world.holder, 60)
    world.pass_by(10)
    assert world.claimed_at is not None
    assert world.claimed_at - frozen <= 5


@pytest.mark.parametrize("name", FOUR)
def test_a_loop_that_stays_dead_is_replaced(name: str) -> None:
    world = World()
    world.pass_by(5)
    world.kill(next(process for process in world.holder if process.name == name))
    world.pass_by(90)
    assert world.claimed_at is not None
    assert world.claimed_at - 5 > (60 if name in {"stage", "forward"} else 15)


def test_runs_that_starve_each_other_by_booting_are_not_superseded() -> None:
    """What once happened every 53 to 71 seconds: a loop missed three seconds, a successor was launched, and its boot

    made the next loop miss three more, until the run that waited claimed from one that was healthy.
    """
    world = World()
    world.pass_by(5)
    for number in range(10):
        world.starve([world.holder[2 + number % 2]], 12)
        world.starve(world.everybody, 3.5)
        world.pass_by(13)
    assert world.claimed_at is None
