"""The lease: rules by example, and a model of runs that are launched, killed and restarted at any moment."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from engagement_platform.domain.launches import Launch, decide
from engagement_platform.domain.leases import (
    FROZEN_AFTER,
    GONE_AFTER,
    LONG_PATIENCE,
    LOOKED_AWAY,
    PATIENCE,
    READY_PATIENCE,
    SILENT_AFTER,
    TURN_PATIENCE,
    ClaimState,
    Lease,
    LeaseSnapshot,
    Life,
    Loop,
    alive,
    claim_state,
    go_on_watching,
    life,
    may_claim,
    missing,
    outlived,
    pause_before_claim,
    waiting,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOPS = ("relay", "tally")
FOUR = ("relay", "tally", "stage", "forward")
LEAD = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


def lease(
    epoch: int = 7,
    run_id: str = "old",
    *,
    age: float = 1000,
    left: float = 500,
    released: bool = False,
    loops: tuple[str, ...] = LOOPS,
) -> Lease:
    return Lease(epoch, run_id, NOW - age * SECOND, NOW + left * SECOND, NOW if released else None, loops)


def draining() -> Lease:
    return Lease(7, "old", NOW - 20 * SECOND, NOW - 20 * SECOND, None, LOOPS)


def loop(
    name: str,
    run_id: str = "old",
    *,
    awaits: int = 7,
    silent: float = 0.5,
    ready: float | None = 0,
    ended: bool = False,
    connected: bool | None = True,
) -> Loop:
    ready_at = None if ready is None else NOW - ready * SECOND
    return Loop(run_id, name, awaits, ready_at, NOW - silent * SECOND, NOW if ended else None, connected)


def gone(name: str, run_id: str = "old", *, silent: float = 3, awaits: int = 7) -> Loop:
    return loop(name, run_id, silent=silent, connected=False, awaits=awaits)


def snapshot(held: Lease | None, *loops: Loop, watched: float | None = None) -> LeaseSnapshot:
    return LeaseSnapshot(NOW, held, loops, None if watched is None else NOW - watched * SECOND)


BOTH = (loop("relay"), loop("tally"))
SUCCESSOR = (loop("relay", "new", awaits=8), loop("tally", "new", awaits=8))


class TestLife:
    def test_a_loop_that_is_slow_lives(self) -> None:
        slow = SILENT_AFTER.total_seconds()
        assert life(snapshot(lease(), loop("relay", silent=slow), loop("tally", silent=slow))) is Life.STREAMS

    def test_a_run_whose_sessions_have_all_ended_is_dead_within_three_seconds(self) -> None:
        assert alive(snapshot(lease(), *(gone(name, silent=GONE_AFTER.total_seconds()) for name in LOOPS)))
        assert not alive(snapshot(lease(), *(gone(name, silent=GONE_AFTER.total_seconds() + 0.1) for name in LOOPS)))

    def test_a_run_without_sessions_is_judged_by_silence(self) -> None:
        """As behind a pooler, where the session that sent the last beat says nothing."""
        unknown = [loop(name, silent=10, connected=None) for name in LOOPS]
        assert alive(snapshot(lease(), *unknown))
        assert not alive(snapshot(lease(), *(loop(name, silent=16, connected=None) for name in LOOPS)))

    def test_a_frozen_run_is_dead_after_a_while(self) -> None:
        assert not alive(snapshot(lease(), *(loop(name, silent=SILENT_AFTER.total_seconds() + 1) for name in LOOPS)))

    @pytest.mark.parametrize("silent", [FROZEN_AFTER.total_seconds(), FROZEN_AFTER.total_seconds() + 0.1])
    def test_a_run_that_is_silent_as_a_whole_while_others_beat_is_frozen(self, silent: float) -> None:
        frozen = [loop(name, silent=silent) for name in FOUR]
        held = lease(loops=FOUR)
        assert alive(snapshot(held, *frozen, *SUCCESSOR, watched=100)) is (silent == FROZEN_AFTER.total_seconds())
        assert may_claim(snapshot(held, *frozen, *SUCCESSOR, watched=100), "new", LOOPS) is (
            silent > FROZEN_AFTER.total_seconds()
        )

    @pytest.mark.parametrize("name", FOUR)
    def test_a_run_of_which_one_loop_beats_is_not_frozen(self, name: str) -> None:
        others = [loop(other, silent=14) for other in FOUR if other != name]
        assert alive(snapshot(lease(loops=FOUR), loop(name), *others, *SUCCESSOR, watched=100))

    def test_silence_of_everybody_says_nothing_of_the_run_nor_does_what_was_not_watched(self) -> None:
        """As where the database takes no writes for a moment, so that no beat of anybody arrives."""
        silent = [loop(name, silent=5) for name in LOOPS]
        mute = [loop(name, "new", awaits=8, silent=5) for name in LOOPS]
        assert alive(snapshot(lease(), *silent, *mute, watched=100))
        assert alive(snapshot(lease(), *silent, watched=100)), "nobody else is there"
        assert alive(snapshot(lease(), *silent, *SUCCESSOR, watched=3)), "the watch has just begun"
        assert alive(snapshot(lease(), *silent, *SUCCESSOR)), "one look is no watch"
        assert not alive(snapshot(lease(), *silent, *SUCCESSOR, watched=100))

    def test_the_only_loop_that_is_at_work_may_be_slow(self) -> None:
        assert alive(snapshot(lease(), loop("relay", silent=10), *SUCCESSOR, watched=100))
        ended = loop("relay", silent=12, ended=True)
        assert alive(snapshot(draining(), ended, loop("tally", silent=10), *SUCCESSOR, watched=100))

    @pytest.mark.parametrize("name", FOUR)
    def test_a_loop_that_died_is_given_time_to_start_again(self, name: str) -> None:
        patience = (LONG_PATIENCE if name in {"stage", "forward"} else PATIENCE).total_seconds()
        others = [loop(other) for other in FOUR if other != name]
        held = lease(loops=FOUR)
        assert life(snapshot(held, gone(name, silent=patience - 1), *others)) is Life.STREAMS
        assert life(snapshot(held, gone(name, silent=patience + 1), *others)) is Life.LIMPS
        assert missing(snapshot(held, gone(name, silent=patience + 1), *others)) == {name}

    @pytest.mark.parametrize("name", ["stage", "forward"])
    def test_a_silent_loop_that_nobody_waits_for_takes_no_lease(self, name: str) -> None:
        others = [loop(other) for other in FOUR if other != name]
        assert life(snapshot(lease(loops=FOUR), loop(name, silent=45), *others)) is Life.STREAMS

    def test_a_loop_that_ended_alone_does_not_come_back(self) -> None:
        assert life(snapshot(lease(), loop("relay", ended=True, silent=2), loop("tally"))) is Life.STREAMS
        assert life(snapshot(lease(), loop("relay", ended=True, silent=3), loop("tally"))) is Life.LIMPS

    def test_a_loop_that_never_begins_is_missed_after_the_patience(self) -> None:
        patience = PATIENCE.total_seconds()
        assert life(snapshot(lease(age=patience - 1), loop("relay"))) is Life.STREAMS
        assert life(snapshot(lease(age=patience + 1), loop("relay"))) is Life.LIMPS

    def test_a_released_lease_is_not_alive(self) -> None:
        assert not alive(snapshot(lease(released=True), *BOTH))

    def test_a_drain_lives_while_one_loop_beats_or_the_next_may_begin(self) -> None:
        assert alive(snapshot(draining(), loop("relay", silent=19, ended=True), loop("tally")))
        assert alive(snapshot(draining(), loop("relay", silent=10, ended=True)))
        assert not alive(snapshot(draining(), loop("relay", silent=19, ended=True), gone("tally", silent=16)))

    def test_only_live_loops_with_a_turn_to_come_wait(self) -> None:
        assert waiting(snapshot(lease(), *BOTH, *SUCCESSOR)) == {"new"}
        assert waiting(snapshot(lease(), loop("relay", "new", awaits=8, silent=14))) == {"new"}, "it boots, and is slow"
        assert not waiting(snapshot(lease(), loop("relay", "new", awaits=7)))
        assert not waiting(snapshot(lease(), gone("relay", "new", awaits=8)))
        assert not waiting(snapshot(lease(), loop("relay", "new", awaits=8, silent=16)))
        assert not waiting(snapshot(lease(), loop("relay", "new", awaits=8, ended=True)))
        assert not waiting(snapshot(None, loop("relay", "new", awaits=0)))


class TestWatch:
    """Silence counts from when somebody watches: before that the database may have been away, for everybody."""

    def test_a_sign_of_before_the_databases_clock_was_set_back_keeps_no_dead_run_alive(self) -> None:
        assert not alive(snapshot(lease(), *(gone(name, silent=-3600) for name in LOOPS)))
        assert not waiting(snapshot(lease(), *BOTH, gone("relay", "spare", awaits=8, silent=-3600)))
        watched = [gone(name, silent=-3600) for name in LOOPS]
        assert alive(snapshot(lease(), *watched, watched=1))  # time to beat again
        assert not alive(snapshot(lease(), *watched, watched=3))

    def test_a_sign_of_a_moment_after_the_look_began_is_one_of_life(self) -> None:
        assert alive(snapshot(lease(), *(loop(name, silent=-0.01) for name in LOOPS), watched=100))
        assert alive(snapshot(lease(), *(loop(name, silent=-0.01) for name in LOOPS)))

    def test_silence_before_the_watch_does_not_count(self) -> None:
        loops = [gone(name, silent=100) for name in LOOPS]
        assert not alive(snapshot(lease(), *loops))
        assert alive(snapshot(lease(), *loops, watched=GONE_AFTER.total_seconds()))
        assert not alive(snapshot(lease(), *loops, watched=GONE_AFTER.total_seconds() + 0.1))

    def test_a_watch_goes_on_while_one_looks_and_the_session_stands(self) -> None:
        first = go_on_watching(None, NOW, same_session=True)
        assert first.since == first.last == NOW
        second = go_on_watching(first, NOW + SECOND, same_session=True)
        assert (second.since, second.last) == (NOW, NOW + SECOND)

    def test_a_new_session_or_a_look_away_begins_a_new_watch(self) -> None:
        first = go_on_watching(None, NOW, same_session=True)
        later = NOW + SECOND
        assert go_on_watching(first, later, same_session=False).since == later
        much_later = NOW + LOOKED_AWAY + SECOND
        assert go_on_watching(first, much_later, same_session=True).since == much_later
        assert go_on_watching(first, NOW - SECOND, same_session=True).since == NOW - SECOND, "the clock went back"


class TestClaim:
    def test_the_turn_comes_at_the_end_of_the_lease(self) -> None:
        assert not may_claim(snapshot(lease(left=0.1), *BOTH, *SUCCESSOR), "new", LOOPS)
        assert may_claim(snapshot(lease(left=0), *BOTH, *SUCCESSOR), "new", LOOPS)

    @pytest.mark.parametrize(
        "before",
        [(None, ()), (lease(released=True), BOTH), (lease(), (gone("relay"), gone("tally")))],
        ids=["nobody", "released", "killed"],
    )
    def test_a_ready_run_need_not_wait_when_nobody_streams(self, before: tuple[Lease | None, tuple[Loop, ...]]) -> None:
        held, loops = before
        assert may_claim(snapshot(held, *loops, *SUCCESSOR), "new", LOOPS)

    @pytest.mark.parametrize(
        ("held", "loops", "patience"),
        [
            (None, (), READY_PATIENCE),
            (lease(), (gone("relay"), gone("tally")), READY_PATIENCE),
            (lease(), (gone("relay", silent=20), loop("tally")), TURN_PATIENCE),
        ],
        ids=["nobody streams", "dead", "relay is missing"],
    )
    def test_a_run_of_which_a_loop_is_not_ready_waits_for_it_but_not_for_ever(
        self, held: Lease | None, loops: tuple[Loop, ...], patience: timedelta
    ) -> None:
        def mine(ready: float) -> tuple[Loop, Loop]:
            return loop("relay", "new", awaits=8, ready=ready), loop("tally", "new", awaits=8, ready=None)

        assert not may_claim(snapshot(held, *loops, *mine(patience.total_seconds() - 1)), "new", LOOPS)
        assert may_claim(snapshot(held, *loops, *mine(patience.total_seconds())), "new", LOOPS)

    def test_a_missing_loop_is_not_replaced_by_one_that_is_not_ready(self) -> None:
        mine = loop("relay", "new", awaits=8, ready=None), loop("tally", "new", awaits=8, ready=500)
        assert not may_claim(snapshot(lease(), gone("relay", silent=20), loop("tally"), *mine), "new", LOOPS)

    def test_slower_siblings_are_waited_for_beyond_the_turn_but_not_for_ever(self) -> None:
        patience = TURN_PATIENCE.total_seconds()
        only_one = (loop("relay", "new", awaits=8), loop("tally", "new", awaits=8, ready=None))
        assert not may_claim(snapshot(lease(left=1 - patience), *BOTH, *only_one), "new", LOOPS)
        assert may_claim(snapshot(lease(left=-patience), *BOTH, *only_one), "new", LOOPS)

    def test_one_silent_loop_of_a_healthy_run_gives_nothing_away(self) -> None:
        """Three seconds of silence of any loop were once enough, for a run none of whose loops was ready."""
        shown = snapshot(lease(), loop("relay"), loop("tally", silent=3.1), *SUCCESSOR)
        assert not may_claim(shown, "new", LOOPS)

    def test_a_wait_does_not_miss_the_turn(self) -> None:
        longest = timedelta(seconds=0.5)
        assert pause_before_claim(snapshot(lease(left=500), *BOTH), longest) == longest
        assert pause_before_claim(snapshot(lease(left=0.1), *BOTH), longest) == 0.1 * SECOND
        assert timedelta(0) < pause_before_claim(snapshot(lease(left=-1), *BOTH), longest) < longest
        assert timedelta(0) < pause_before_claim(snapshot(lease(), gone("relay"), gone("tally")), longest) < longest
        assert timedelta(0) < pause_before_claim(snapshot(None), longest) <= longest

    def test_claim_state(self) -> None:
        assert claim_state(None, "me", 1) is ClaimState.WAITS
        assert claim_state(None, "me", 0) is ClaimState.SURPLUS
        assert claim_state(lease(7, "old"), "me", 0) is ClaimState.SURPLUS
        assert claim_state(lease(7, "old"), "me", 8) is ClaimState.WAITS
        assert claim_state(lease(7, "me"), "me", 7) is ClaimState.OWNER
        assert claim_state(lease(7, "old"), "me", 7) is ClaimState.LOST
        assert claim_state(lease(9, "old"), "me", 8) is ClaimState.LOST


class TestHolder:
    def test_outlives_its_lease_by_the_grace(self) -> None:
        grace = timedelta(seconds=300)
        assert not outlived(snapshot(lease(left=-299)), grace)
        assert outlived(snapshot(lease(left=-301)), grace)

    def test_a_drain_may_take_as_long_as_it_needs(self) -> None:
        assert not outlived(snapshot(draining()), timedelta(seconds=1))


class Op:
    """One process of a loop, as `stream.lease` drives it. It acts on what it read, be it old."""

    def __init__(self, run_id: str, name: str, awaits: int) -> None:
        self.run_id, self.name, self.awaits = run_id, name, awaits
        self.seen: LeaseSnapshot | None = None
        self.owns: int | None = None
        self.lost = False


class Leases(RuleBasedStateMachine):
    """Runs that start, read, claim on what they read, are killed and restarted, while time passes."""

    ops = Bundle("ops")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.leases: list[Lease] = []
        self.loops: dict[tuple[str, str], Loop] = {}
        self.owners: dict[int, set[str]] = {}
        self.launched = 0

    def snapshot(self) -> LeaseSnapshot:
        return LeaseSnapshot(self.now, self.leases[-1] if self.leases else None, tuple(self.loops.values()))

    def register(self, run_id: str, name: str) -> Op:
        siblings = [each.awaits for (its_run, _), each in self.loops.items() if its_run == run_id]
        awaits = siblings[0] if siblings else self.snapshot().epoch + 1
        self.loops[run_id, name] = Loop(run_id, name, awaits, None, self.now, None)
        return Op(run_id, name, awaits)

    @rule(target=ops, name=st.sampled_from(LOOPS))
    def launch(self, name: str) -> Op:
        self.launched += 1
        return self.register(f"run {self.launched}", name)

    @rule(target=ops, op=ops, name=st.sampled_from(LOOPS))
    def start_sibling_or_twin(self, op: Op, name: str) -> Op:
        return self.register(op.run_id, name)

    @rule(target=ops, op=consumes(ops))
    def kill_and_retry(self, op: Op) -> Op:
        return self.register(op.run_id, op.name)

    @rule(op=consumes(ops))
    def kill(self, op: Op) -> None:
        """Its row stays, and falls silent."""

    @rule(op=ops)
    def read(self, op: Op) -> None:
        op.seen = self.snapshot()
        match claim_state(op.seen.lease, op.run_id, op.awaits):
            case ClaimState.OWNER:
                assert not op.lost, "a loop that has lost never owns again"
                op.owns = op.seen.epoch
                self.owners.setdefault(op.seen.epoch, set()).add(op.run_id)
            case ClaimState.LOST:
                op.owns, op.lost = None, True
            case ClaimState.WAITS:
                assert op.owns is None, "who has owned never waits again"

    @rule(op=ops, seconds=st.floats(0, 30))
    def claim_on_what_was_read(self, op: Op, seconds: float) -> None:
        """INSERT ... WHERE no epoch >= awaits ON CONFLICT DO NOTHING, on whatever the op has read, however long ago."""
        seen = op.seen
        if seen is None or claim_state(seen.lease, op.run_id, op.awaits) is not ClaimState.WAITS:
            return
        if not may_claim(seen, op.run_id, LOOPS):
            return
        taken = self.snapshot().epoch >= op.awaits or any(each.run_id == op.run_id for each in self.leases)
        if not taken:
            self.leases.append(Lease(op.awaits, op.run_id, self.now, self.now + seconds * SECOND, None, LOOPS))

    @rule(op=ops)
    def beat(self, op: Op) -> None:
        self.loops[op.run_id, op.name] = Loop(op.run_id, op.name, op.awaits, self.now, self.now, None)

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds * SECOND

    @invariant()
    def an_epoch_has_one_owner(self) -> None:
        assert all(len(runs) == 1 for runs in self.owners.values())

    @invariant()
    def a_run_owns_at_most_one_epoch(self) -> None:
        runs = [each.run_id for each in self.leases]
        assert len(set(runs)) == len(runs)

    @invariant()
    def epochs_rise_by_one(self) -> None:
        assert [each.epoch for each in self.leases] == list(range(1, len(self.leases) + 1))

    @invariant()
    def somebody_can_always_be_launched_or_waits(self) -> None:
        later = LeaseSnapshot(self.now + timedelta(minutes=20), self.snapshot().lease, self.snapshot().loops)
        assert isinstance(decide(later, [], LEAD, "here"), Launch), "when all are silent, nothing blocks a launch"


TestLeases = Leases.TestCase
TestLeases.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
