"""The ledger against a model of PostgreSQL's sequence: transactions take ids, commit, roll back, in any order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engagement_platform.domain.ids import IdRange, count, encode
from engagement_platform.domain.ledger import (
    NOBODY,
    Holders,
    Ledger,
    Seen,
    absorb,
    begin,
    opens_gaps,
    worth_probing,
)


def holders(*virtual: str, prepared: bool = False) -> Holders:
    return Holders(frozenset(virtual), frozenset(virtual if prepared else ()))


def seen(*ids: int, cut: bool = False) -> Seen:
    return Seen(ids, cut)


def test_a_gap_is_kept_while_its_holder_lives() -> None:
    ledger = absorb(Ledger(0), NOBODY, seen(1, 3), holders("3/7"))
    ledger = absorb(ledger, holders("3/7"), seen(), NOBODY)
    assert ledger.missing == (IdRange(2, 2),)
    assert worth_probing(ledger, holders("3/7")) == ()
    assert absorb(ledger, holders("3/7"), seen(), NOBODY) == ledger


def test_an_id_is_given_up_once_its_holder_has_ended_and_a_later_read_did_not_find_it() -> None:
    ledger = absorb(Ledger(0), NOBODY, seen(1, 3), holders("3/7"))
    assert worth_probing(ledger, NOBODY) == (IdRange(2, 2),)
    assert absorb(ledger, NOBODY, seen(), NOBODY) == Ledger(3)


def test_an_id_that_committed_before_the_look_at_the_locks_is_found_by_the_next_read() -> None:
    """Its transaction was not seen to hold the lock; another that goes on for long was."""
    ledger = absorb(Ledger(0), NOBODY, seen(1, 3), holders("9/9"))
    assert worth_probing(ledger, holders("9/9")) == (IdRange(2, 2),)
    assert absorb(ledger, holders("9/9"), seen(2), NOBODY) == Ledger(3)


def test_a_found_id_leaves_the_ledger_while_its_neighbours_stay_with_their_other_holders() -> None:
    ledger = absorb(Ledger(0), NOBODY, seen(5), holders("3/7", "4/1"))
    ledger = absorb(ledger, holders("4/1"), seen(2), NOBODY)
    assert ledger.missing == (IdRange(1, 1), IdRange(3, 4))
    assert ledger.gaps[0].holders == {"4/1"}


def test_a_gap_nobody_holds_is_still_looked_for_once() -> None:
    """Its transaction may have committed between the read and the look at the locks."""
    ledger = absorb(Ledger(0), NOBODY, seen(2), NOBODY)
    assert worth_probing(ledger, NOBODY) == (IdRange(1, 1),)
    assert absorb(ledger, NOBODY, seen(1), NOBODY) == Ledger(2)


def test_ids_beyond_a_cut_are_not_given_up() -> None:
    """100,000 ids commit at once and the read returns 5,000: the others must stay."""
    ledger = absorb(Ledger(0), NOBODY, seen(100_001), holders("3/7"))
    ledger = absorb(ledger, NOBODY, Seen(range(1, 5_001), cut=True), NOBODY)
    assert ledger.missing == (IdRange(5_001, 100_000),)
    assert worth_probing(ledger, NOBODY) == (IdRange(5_001, 100_000),)


def test_a_cut_read_keeps_the_reason_to_probe_what_it_did_not_reach() -> None:
    ledger = absorb(Ledger(0), NOBODY, seen(10), holders("3/7", "4/1"))
    ledger = absorb(ledger, holders("4/1"), seen(1, 2, cut=True), NOBODY)
    assert worth_probing(ledger, holders("4/1")) == (IdRange(3, 9),)


def test_a_prepared_transaction_holds_every_missing_id() -> None:
    """Its virtual id changes when the server restarts; the one recorded would read as ended."""
    ledger = absorb(Ledger(0), NOBODY, seen(2), holders("3/2", prepared=True))
    after_restart = holders("-1/755", prepared=True)
    assert worth_probing(ledger, after_restart) == (IdRange(1, 1),)
    ledger = absorb(ledger, after_restart, seen(), NOBODY)
    assert ledger.missing == (IdRange(1, 1),)
    assert absorb(ledger, NOBODY, seen(), NOBODY).missing == ()


def test_of_two_prepared_transactions_the_end_of_one_is_noticed_after_a_restart_of_the_server() -> None:
    """Neither of their present ids was recorded with the gap; the row of the first must not wait for the second."""
    ledger = absorb(Ledger(0), NOBODY, seen(3), holders("3/2", "3/3", prepared=True))
    ledger = absorb(ledger, holders("-1/755", "-1/756", prepared=True), seen(), NOBODY)
    assert worth_probing(ledger, holders("-1/755", "-1/756", prepared=True)) == ()
    assert worth_probing(ledger, holders("-1/756", prepared=True)) == (IdRange(1, 2),)


def test_a_restart_records_the_holders_afresh() -> None:
    """No recorded holders reads as provable: the ledger of a checkpoint must be given those of now."""
    ledger = begin(10, [IdRange(4, 5)], holders("3/7"))
    assert absorb(ledger, holders("3/7"), seen(), NOBODY).missing == (IdRange(4, 5),)


def test_holders_are_asked_for_only_when_a_read_skips_ids() -> None:
    assert not opens_gaps(Ledger(5), seen(6, 7, 8))
    assert not opens_gaps(begin(5, [IdRange(2, 2)], NOBODY), seen(2, 6))
    assert opens_gaps(Ledger(5), seen(7))


def test_ten_thousand_open_gaps_stay_small_in_the_checkpoint() -> None:
    ledger = begin(10**12, [IdRange(i, i) for i in range(10**12 - 20_000, 10**12, 2)], holders("3/7"))
    assert len(str(encode(ledger.missing))) < 100_000
    assert count(ledger.missing) == ledger.open_ids == 10_000


@dataclass
class Transaction:
    virtual: str
    ids: list[int] = field(default_factory=list)
    rolled_back: set[int] = field(default_factory=set)


class SequenceModel(RuleBasedStateMachine):
    """Any interleaving of transactions and of the relay's four steps emits every committed id exactly once."""

    @initialize(limit=st.integers(1, 6))
    def start(self, limit: int) -> None:
        self.limit = limit
        self.next_id = 1
        self.serial = 0
        self.open: list[Transaction] = []
        self.prepared: list[Transaction] = []
        self.visible: set[int] = set()
        self.emitted: list[int] = []
        self.ledger = Ledger(0)
        self.step = self.steps()

    def now(self) -> Holders:
        held = [t for t in self.open + self.prepared if t.ids or t.rolled_back]
        prepared = frozenset(t.virtual for t in held if t in self.prepared)
        return Holders(frozenset(t.virtual for t in held), prepared)

    def steps(self) -> Iterator[None]:
        """One relay, suspended between its steps so that transactions end anywhere in between."""
        while True:
            before = self.now() if self.ledger.gaps else NOBODY
            yield
            probes = worth_probing(self.ledger, before)
            wanted = sorted(
                i for i in self.visible if i > self.ledger.hi or any(r.first <= i <= r.last for r in probes)
            )
            read = Seen(wanted[: self.limit], cut=len(wanted) > self.limit)
            yield
            after = self.now() if opens_gaps(self.ledger, read) else NOBODY
            yield
            self.emitted.extend(read.ids)
            self.ledger = absorb(self.ledger, before, read, after)

    @rule()
    def begin(self) -> None:
        self.serial += 1
        self.open.append(Transaction(f"3/{self.serial}"))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), n=st.integers(1, 4), kept=st.booleans())
    def take_ids(self, data: st.DataObject, n: int, kept: bool) -> None:
        transaction = data.draw(st.sampled_from(self.open))
        (transaction.ids.extend if kept else transaction.rolled_back.update)(self.take(n))

    def take(self, n: int) -> list[int]:
        """Return the next ids of the sequence."""
        self.next_id += n
        return list(range(self.next_id - n, self.next_id))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(["commit", "rollback", "prepare"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        transaction = data.draw(st.sampled_from(self.open))
        self.open.remove(transaction)
        if outcome == "commit":
            self.visible.update(transaction.ids)
        elif outcome == "prepare":
            self.prepared.append(transaction)

    @precondition(lambda self: self.prepared)
    @rule(data=st.data(), commit=st.booleans())
    def end_prepared(self, data: st.DataObject, commit: bool) -> None:
        transaction = data.draw(st.sampled_from(self.prepared))
        self.prepared.remove(transaction)
        if commit:
            self.visible.update(transaction.ids)

    @rule()
    def restart_server(self) -> None:
        """Open transactions are gone; prepared ones have other virtual ids. The relay's own step goes on."""
        self.open.clear()
        for transaction in self.prepared:
            self.serial += 1
            transaction.virtual = f"-1/{self.serial}"

    @rule()
    def restart_relay(self) -> None:
        self.ledger = begin(self.ledger.hi, self.ledger.missing, self.now())
        self.step = self.steps()

    @rule(n=st.integers(1, 8))
    def relay_steps(self, n: int) -> None:
        for _ in range(n):
            next(self.step)

    @rule()
    def what_is_visible_comes_out_whoever_is_still_open(self) -> None:
        self.relay_steps(8 * (len(self.visible) + 4))
        assert sorted(self.emitted) == sorted(self.visible)

    @invariant()
    def nothing_twice(self) -> None:
        assert len(self.emitted) == len(set(self.emitted))

    def teardown(self) -> None:
        if not hasattr(self, "open"):
            return
        for transaction in self.open + self.prepared:
            self.visible.update(transaction.ids)
        self.open.clear()
        self.prepared.clear()
        self.restart_relay()
        self.relay_steps(8 * (len(self.visible) + 4))
        assert sorted(self.emitted) == sorted(self.visible)
        assert self.ledger.gaps == ()


TestSequenceModel = SequenceModel.TestCase
TestSequenceModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(1, 50), unique=True))
def test_absorbing_in_one_read_or_in_two_is_the_same(ids: list[int]) -> None:
    ids.sort()
    half = len(ids) // 2
    once = absorb(Ledger(0), NOBODY, Seen(ids, False), holders("3/7"))
    twice = absorb(Ledger(0), NOBODY, Seen(ids[:half], True), holders("3/7")) if half else Ledger(0)
    twice = absorb(twice, holders("3/7"), Seen(ids[half:], False), holders("3/7"))
    assert (twice.hi, twice.missing) == (once.hi, once.missing)
