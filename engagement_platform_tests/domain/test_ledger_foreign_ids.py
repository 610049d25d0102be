"""The ledger where rows also come under ids that the sequence has not given."""

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.ledger import (
    KEPT_UNSEEN,
    NOBODY,
    PROBED_AT_ONCE,
    Holders,
    Ledger,
    Seen,
    absorb,
    begin,
    opens_gaps,
    reopened,
    worth_probing,
)
from engagement_platform_tests.domain.test_ledger import SequenceModel

FAR = 5_000_000_000


def test_an_id_above_the_sequence_leaves_those_below_it_open() -> None:
    ledger = absorb(Ledger(10), NOBODY, Seen([FAR], False, given=10), NOBODY)
    assert ledger == Ledger(FAR, (), (IdRange(11, FAR - 1),))
    assert worth_probing(ledger, NOBODY) == (IdRange(11, FAR - 1),)
    assert absorb(ledger, NOBODY, Seen([], False, given=12), NOBODY) == ledger
    ledger = absorb(ledger, NOBODY, Seen([11, 13], False, given=14), Holders(frozenset({"3/7"})))
    assert ledger.ungiven == (IdRange(14, FAR - 1),)
    assert ledger.missing == (IdRange(12, 12), IdRange(14, FAR - 1))
    assert ledger.open_ids == 1


def test_ids_are_given_up_once_the_sequence_has_passed_the_foreign_one() -> None:
    ledger = absorb(Ledger(10), NOBODY, Seen([20], False, given=10), NOBODY)
    read = Seen([15, 22], False, given=22)
    assert opens_gaps(ledger, read)
    ledger = absorb(ledger, NOBODY, read, NOBODY)
    assert (ledger.ungiven, ledger.missing) == ((), (IdRange(11, 14), IdRange(16, 19), IdRange(21, 21)))
    assert absorb(ledger, NOBODY, Seen([], False, given=22), NOBODY) == Ledger(22)


def test_a_checkpoint_s_missing_ids_above_the_sequence_are_not_given_up_at_a_restart() -> None:
    ledger = begin(FAR, [IdRange(4, 4), IdRange(9, FAR - 1)], NOBODY, given=10)
    ledger = absorb(ledger, NOBODY, Seen([], False, given=10), NOBODY)
    assert ledger.missing == (IdRange(11, FAR - 1),)


def test_where_the_sequence_is_not_seen_the_ids_below_a_foreign_one_are_still_looked_for() -> None:
    ledger = absorb(Ledger(10), NOBODY, Seen([FAR], False, None), NOBODY)
    ledger = absorb(ledger, NOBODY, Seen([], False, None), NOBODY)
    assert worth_probing(ledger, NOBODY, everything=False) == (IdRange(11, FAR - 1),)
    ledger = absorb(ledger, NOBODY, Seen([11, 12, 14], False, None), NOBODY)
    assert ledger.missing == (IdRange(13, 13), IdRange(15, FAR - 1))


def test_of_many_ids_that_were_given_up_unseen_the_largest_and_the_newest_are_remembered() -> None:
    ledger = absorb(Ledger(0), NOBODY, Seen([1_000], False, None), NOBODY)
    for number in range(1_002, 1_002 + 4 * KEPT_UNSEEN, 2):
        ledger = absorb(ledger, NOBODY, Seen([number], False, None), NOBODY)
    ledger = absorb(ledger, NOBODY, Seen([], False, None), NOBODY)
    assert len(ledger.ungiven) == KEPT_UNSEEN
    assert ledger.ungiven[0] == IdRange(1, 999)
    assert ledger.ungiven[-1] == IdRange(ledger.hi - 1, ledger.hi - 1)


def test_a_usual_read_looks_at_few_of_many_ranges() -> None:
    ledger = absorb(Ledger(0), NOBODY, Seen(range(2, 2_000, 2), False, given=0), NOBODY)
    assert len(worth_probing(ledger, NOBODY, everything=False)) == PROBED_AT_ONCE
    assert len(worth_probing(ledger, NOBODY)) == 999


def test_an_id_that_is_opened_again_is_looked_for_and_then_given_up() -> None:
    ledger = reopened(Ledger(5), [4, 5], NOBODY)
    assert ledger.missing == (IdRange(4, 4), IdRange(5, 5))
    assert absorb(ledger, NOBODY, Seen([5], False, given=9), NOBODY) == Ledger(5)


class ForeignIds(SequenceModel):
    """Any interleaving with rows that somebody writes under an id of their own, above the sequence.

    Where the sequence reaches such an id, the transaction that was given it fails on the key.
    """

    @initialize(sees_sequence=st.booleans())
    def see(self, sees_sequence: bool) -> None:
        self.sees_sequence = sees_sequence

    def given(self) -> int | None:
        return self.next_id - 1 if self.sees_sequence else None

    def steps(self) -> Iterator[None]:
        while True:
            before = self.now() if self.ledger.gaps else NOBODY
            yield
            probes = worth_probing(self.ledger, before, everything=False)
            wanted = sorted(
                i for i in self.visible if i > self.ledger.hi or any(r.first <= i <= r.last for r in probes)
            )
            yield
            read = Seen(wanted[: self.limit], len(wanted) > self.limit, self.given())
            after = self.now() if opens_gaps(self.ledger, read) else NOBODY
            yield
            self.emitted.extend(read.ids)
            self.ledger = absorb(self.ledger, before, read, after)

    @rule(distance=st.integers(1, 30), n=st.integers(1, 3))
    def write_foreign(self, distance: int, n: int) -> None:
        self.visible.update(range(self.next_id + distance, self.next_id + distance + n))

    @rule()
    def restart_relay(self) -> None:
        hi, missing, given = self.ledger.hi, self.ledger.missing, self.given()
        self.ledger = begin(hi, missing, self.now(), given)
        self.step = self.steps()

    @rule()
    def grant_or_revoke(self) -> None:
        """What was taken for given by guess is then looked at anew, with the holders of that moment."""
        self.sees_sequence = not self.sees_sequence
        self.restart_relay()

    @rule()
    def what_is_visible_comes_out_whoever_is_still_open(self) -> None:
        """Unseen, ids are taken for given that are not; a row among them may wait for a transaction of others."""
        self.relay_steps(8 * (len(self.visible) + 4))
        assert not self.sees_sequence or sorted(self.emitted) == sorted(self.visible)

    def take(self, n: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < n:
            if self.next_id not in self.visible:
                taken.append(self.next_id)
            self.next_id += 1
        return taken

    def teardown(self) -> None:
        if not hasattr(self, "open"):
            return
        self.sees_sequence = True
        self.next_id = max((self.next_id, *(i + 1 for i in self.visible)))
        self.visible.add(self.take(1)[0])
        super().teardown()
        assert self.ledger.ungiven == ()


TestForeignIds = ForeignIds.TestCase
TestForeignIds.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
