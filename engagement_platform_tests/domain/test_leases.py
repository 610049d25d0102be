"""The lease: rules by example, and a model of runs that are launched, killed and restarted at any moment."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from engagement_platform.domain.leases import (
    BEGIN_GRACE,
    DEAD_AFTER,
    READY_PATIENCE,
    YOUNG,
    Board,
    Launch,
    Lease,
    Loop,
    Run,
    Skip,
    Standing,
    alive,
    decide,
    may_claim,
    outlived,
    pause_before_claim,
    standing,
    waiting,
    wanted,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOPS = ("relay", "tally")
LEAD = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


def lease(
    epoch: int = 7, run_id: str = "old", *, age: float = 1000, left: float = 500, released: bool = False
) -> Lease:
    return Lease(epoch, run_id, NOW - age * SECOND, NOW + left * SECOND, NOW if released else None, LOOPS)


def draining() -> Lease:
    return Lease(7, "old", NOW - 20 * SECOND, NOW - 20 * SECOND, None, LOOPS)


def loop(
    name: str, run_id: str = "old", *, awaits: int = 7, silent: float = 0.5, ready: bool = True, ended: bool = False
) -> Loop:
    return Loop(run_id, name, awaits, NOW if ready else None, NOW - silent * SECOND, NOW if ended else None)


def board(held: Lease | None, *loops: Loop) -> Board:
    return Board(NOW, held, loops)


BOTH = (loop("relay"), loop("tally"))
SUCCESSOR = (loop("relay", "new", awaits=8), loop("tally", "new", awaits=8))


def run(run_id: str = "other", age: float = 5, *, ended: bool = False, failed: bool = False) -> Run:
    return Run(run_id, NOW - age * SECOND, ended or failed, failed)


class TestLife:
    def test_a_lease_lives_while_all_its_loops_beat(self) -> None:
        assert alive(board(lease(), *BOTH))
        assert not alive(board(lease(), loop("relay"), loop("tally", silent=3.1)))

    def test_a_loop_that_never_begins_is_missed_after_the_grace(self) -> None:
        begun = loop("relay")
        within, beyond = BEGIN_GRACE.total_seconds(), (BEGIN_GRACE + DEAD_AFTER).total_seconds() + 1
        assert alive(board(lease(age=within), begun))
        assert not alive(board(lease(age=beyond), begun))

    def test_a_released_lease_is_not_alive(self) -> None:
        assert not alive(board(lease(released=True), *BOTH))

    def test_a_drain_lives_while_one_loop_beats(self) -> None:
        assert alive(board(draining(), loop("relay", silent=15, ended=True), loop("tally")))
        assert not alive(board(draining(), loop("relay", silent=15, ended=True), loop("tally", silent=4)))

    def test_only_live_loops_with_a_turn_to_come_wait(self) -> None:
        assert waiting(board(lease(), *BOTH, *SUCCESSOR)) == {"new"}
        assert not waiting(board(lease(), loop("relay", "new", awaits=7)))
        assert not waiting(board(lease(), loop("relay", "new", awaits=8, silent=4)))
        assert not waiting(board(lease(), loop("relay", "new", awaits=8, ended=True)))


class TestSensor:
    @pytest.mark.parametrize(
        "shown",
        [
            board(None),
            board(lease(released=True), *BOTH),
            board(lease(), loop("relay"), loop("tally", silent=9)),
            board(lease(left=59), *BOTH),
            board(lease(left=-10), *BOTH),
            board(draining(), loop("relay", silent=9)),
        ],
        ids=["first", "released", "dead", "ends soon", "outlived", "drain died"],
    )
    def test_launches(self, shown: Board) -> None:
        assert isinstance(decide(shown, [], LEAD), Launch)

    def test_leaves_a_healthy_lease_alone(self) -> None:
        assert isinstance(decide(board(lease(left=61), *BOTH), [], LEAD), Skip)

    def test_does_not_launch_beside_a_live_waiter(self) -> None:
        assert isinstance(wanted(board(lease(left=10), *BOTH, *SUCCESSOR), LEAD), Skip)
        assert isinstance(wanted(board(lease(released=True), *SUCCESSOR), LEAD), Skip)

    def test_does_not_launch_beside_a_run_that_starts_up(self) -> None:
        decision = decide(board(None), [run("young")], LEAD)
        assert isinstance(decision, Skip)
        assert "young" in decision.reason

    def test_a_zombie_does_not_block(self) -> None:
        old = YOUNG.total_seconds() + 1
        assert isinstance(decide(board(None), [run("a", old), run("b", old)], LEAD), Launch)

    def test_a_young_run_that_ended_or_fell_silent_does_not_block(self) -> None:
        dead = board(lease(), loop("relay", silent=9), loop("relay", "new", awaits=8, silent=4))
        assert isinstance(decide(dead, [run("ended", ended=True), run("new")], LEAD), Launch)

    def test_a_young_holder_that_died_does_not_block(self) -> None:
        dead = board(lease(age=10), loop("relay", silent=4), loop("tally", silent=4))
        assert isinstance(decide(dead, [run("old", age=15)], LEAD), Launch)

    def test_waits_when_run_after_run_fails(self) -> None:
        failed = [run(f"r{n}", age=9 * n, failed=True) for n in range(1, 7)]
        assert isinstance(decide(board(None), failed[1:], LEAD), Launch)
        decision = decide(board(None), failed, LEAD)
        assert isinstance(decision, Skip)
        assert "r1" in decision.reason


class TestClaim:
    def test_the_turn_comes_at_the_end_of_the_lease(self) -> None:
        assert not may_claim(board(lease(left=0.1), *BOTH, *SUCCESSOR), "new", LOOPS)
        assert may_claim(board(lease(left=0), *BOTH, *SUCCESSOR), "new", LOOPS)

    @pytest.mark.parametrize("shown", [board(None), board(lease(released=True), *BOTH), board(lease(), *SUCCESSOR[:1])])
    def test_nobody_has_to_be_waited_for_when_nobody_streams(self, shown: Board) -> None:
        assert may_claim(shown, "new", LOOPS)

    def test_slower_siblings_are_waited_for_but_not_for_ever(self) -> None:
        patience = READY_PATIENCE.total_seconds()
        only_one = (loop("relay", "new", awaits=8), loop("tally", "new", awaits=8, ready=False))
        assert not may_claim(board(lease(left=1 - patience), *BOTH, *only_one), "new", LOOPS)
        assert may_claim(board(lease(left=-patience), *BOTH, *only_one), "new", LOOPS)

    def test_a_wait_does_not_miss_the_turn(self) -> None:
        longest = timedelta(seconds=0.25)
        assert pause_before_claim(board(lease(left=500)), longest) == longest
        assert pause_before_claim(board(lease(left=0.1)), longest) == 0.1 * SECOND
        assert timedelta(0) < pause_before_claim(board(lease(left=-1)), longest) < longest
        assert timedelta(0) < pause_before_claim(board(None), longest) <= longest

    def test_standing(self) -> None:
        assert standing(None, "me", 1) is Standing.WAITS
        assert standing(lease(7, "old"), "me", 8) is Standing.WAITS
        assert standing(lease(7, "me"), "me", 7) is Standing.OWNER
        assert standing(lease(7, "old"), "me", 7) is Standing.LOST
        assert standing(lease(9, "old"), "me", 8) is Standing.LOST


class TestHolder:
    def test_outlives_its_lease_by_the_grace(self) -> None:
        grace = timedelta(seconds=300)
        assert not outlived(board(lease(left=-299)), grace)
        assert outlived(board(lease(left=-301)), grace)

    def test_a_drain_may_take_as_long_as_it_needs(self) -> None:
        assert not outlived(board(draining()), timedelta(seconds=1))


class Op:
    """One process of a loop, as `stream.lease` drives it. It acts on what it read, be it old."""

    def __init__(self, run_id: str, name: str, awaits: int) -> None:
        self.run_id, self.name, self.awaits = run_id, name, awaits
        self.seen: Board | None = None
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

    def board(self) -> Board:
        return Board(self.now, self.leases[-1] if self.leases else None, tuple(self.loops.values()))

    def register(self, run_id: str, name: str) -> Op:
        siblings = [each.awaits for (its_run, _), each in self.loops.items() if its_run == run_id]
        awaits = siblings[0] if siblings else self.board().epoch + 1
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
        op.seen = self.board()
        match standing(op.seen.lease, op.run_id, op.awaits):
            case Standing.OWNER:
                assert not op.lost, "a loop that has lost never owns again"
                op.owns = op.seen.epoch
                self.owners.setdefault(op.seen.epoch, set()).add(op.run_id)
            case Standing.LOST:
                op.owns, op.lost = None, True
            case Standing.WAITS:
                assert op.owns is None, "who has owned never waits again"

    @rule(op=ops, seconds=st.floats(0, 30))
    def claim_on_what_was_read(self, op: Op, seconds: float) -> None:
        """INSERT ... WHERE no epoch >= awaits ON CONFLICT DO NOTHING, on whatever the op has read, however long ago."""
        seen = op.seen
        if seen is None or standing(seen.lease, op.run_id, op.awaits) is not Standing.WAITS:
            return
        if not may_claim(seen, op.run_id, LOOPS):
            return
        taken = self.board().epoch >= op.awaits or any(each.run_id == op.run_id for each in self.leases)
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
        later = Board(self.now + timedelta(minutes=20), self.board().lease, self.board().loops)
        assert isinstance(decide(later, [], LEAD), Launch), "when all are silent, nothing blocks a launch"


TestLeases = Leases.TestCase
TestLeases.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
