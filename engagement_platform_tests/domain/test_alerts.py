"""When people are told: once for each beginning and each end, whatever comes and goes, and whoever looks away."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.domain import alerts
from engagement_platform.domain.alerts import BEGINS_AFTER, ENDS_AFTER, LONGEST_HOLD, Alert, Memory, Watch, look
from engagement_platform.domain.conditions import Condition, Kind, Severity

STEP = 10.0
BEGIN = 1_000_000.0


def condition(kind: Kind = Kind.LOOP_STANDS_STILL, subject: str = "tally", **changed: object) -> Condition:
    of = {"loops": (subject,), "since": BEGIN, **changed}
    return Condition(kind, Severity.CRITICAL, "engagement", subject, what="It is.", **of)  # type: ignore[arg-type]


class Observer:
    """Looks every ten seconds, and keeps what it remembers as the platform's database does."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.watch: Watch | None = None
        self.told: list[Alert] = []

    def look(
        self, *present: Condition, sees: Callable[[Condition], bool] = lambda _: True, after: float = STEP
    ) -> list[Alert]:
        self.now += after
        before = _as_kept(self.watch)
        self.watch, told = look(before, present, self.now, sees)
        assert self.watch == _as_kept(self.watch), "it can be kept"
        self.told += told
        return told

    def look_for(
        self, seconds: float, *present: Condition, sees: Callable[[Condition], bool] = lambda _: True
    ) -> list[Alert]:
        return [one for _ in range(int(seconds / STEP)) for one in self.look(*present, sees=sees)]


def _as_kept(watch: Watch | None) -> Watch | None:
    if watch is None:
        return None
    kept = msgspec.json.decode(msgspec.json.encode(list(watch.memories.values())), type=list[Memory])
    return Watch(watch.looked_at, {memory.condition.key: memory for memory in kept})


def fresh(observer: Observer, kind: Kind = Kind.LOOP_STANDS_STILL) -> Condition:
    return condition(kind, since=observer.now + STEP)


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_is_told_once_when_it_begins_and_once_when_it_is_over(kind: Kind) -> None:
    observer = Observer()
    one = fresh(observer, kind)
    observer.look_for(7_200, one)
    (began,) = observer.told
    assert (began.is_over, began.condition, began.id) == (False, one, began.alert)
    observer.look_for(7_200)
    (_, over) = observer.told
    assert (over.is_over, over.alert) == (True, began.alert)
    assert over.id != began.id
    assert observer.watch is not None
    assert not observer.watch.memories, "it is forgotten"


@pytest.mark.parametrize("kind", list(BEGINS_AFTER))
def test_what_passes_by_itself_within_moments_is_not_told(kind: Kind) -> None:
    observer = Observer()
    observer.look_for(BEGINS_AFTER[kind] - STEP, fresh(observer, kind))
    observer.look_for(7_200)
    assert not observer.told


def test_a_stream_that_starts_behind_a_night_in_which_all_was_off_is_not_told() -> None:
    observer = Observer()
    nobody = condition(Kind.NOBODY_STREAMS, since=BEGIN - 9 * 3_600)
    observer.look_for(20, nobody)
    observer.look_for(600)
    assert not observer.told


def test_what_is_away_for_a_moment_is_not_over() -> None:
    observer = Observer()
    one = fresh(observer)
    observer.look_for(60, one)
    observer.look_for(ENDS_AFTER - STEP)
    observer.look_for(60, one)
    assert len(observer.told) == 1


def test_one_that_flaps_is_told_less_and_less() -> None:
    observer = Observer()
    for _ in range(3 * 3_600 // 180):
        observer.look_for(60, fresh(observer))
        observer.look_for(120)
    assert len(observer.told) <= 5, "a cycle of three minutes is too short for the second end's hold"
    assert not observer.told[-1].is_over, "it is told as one that lasts"
    observer.look_for(LONGEST_HOLD + STEP)
    assert observer.told[-1].is_over


def test_one_that_has_stayed_for_an_hour_is_over_as_soon_as_any_other() -> None:
    observer = Observer()
    for _ in range(4):
        observer.look_for(60, fresh(observer))
        observer.look_for(300)
    observer.look_for(2 * 3_600, fresh(observer))
    assert not observer.told[-1].is_over
    observer.look_for(ENDS_AFTER + STEP)
    assert observer.told[-1].is_over


def test_who_has_looked_away_waits_before_he_tells_that_something_is_over() -> None:
    observer = Observer()
    observer.look_for(60, fresh(observer))
    observer.look()
    assert not observer.look(after=3_600)
    observer.look_for(ENDS_AFTER + STEP)
    assert observer.told[-1].is_over


def test_a_clock_that_is_set_back_tells_nothing_twice() -> None:
    observer = Observer()
    one = fresh(observer)
    observer.look_for(60, one)
    observer.look(one, after=-7_200)
    observer.look_for(600, one)
    assert len(observer.told) == 1


HIDERS = [
    (Kind.NOBODY_STREAMS, ("relay", "tally")),
    (Kind.LOOP_PAUSED, ("tally",)),
    (Kind.UNREADABLE, ()),
]


@pytest.mark.parametrize(("kind", "loops"), HIDERS)
def test_what_cannot_be_seen_behind_something_else_is_not_over(kind: Kind, loops: tuple[str, ...]) -> None:
    observer = Observer()
    stopped, hider = condition(), condition(kind, "", loops=loops)
    observer.look_for(60, stopped)
    observer.look_for(3_600, hider)
    assert [one.condition.kind for one in observer.told] == [stopped.kind, kind]
    observer.look_for(3_600, stopped)
    assert [(one.condition.kind, one.is_over) for one in observer.told[2:]] == [(kind, True)]
    observer.look_for(3_600)
    assert [(one.condition.kind, one.is_over) for one in observer.told[3:]] == [(stopped.kind, True)]


def test_of_another_loop_or_stream_it_is_seen() -> None:
    behind = condition(Kind.BEHIND)
    assert alerts.is_hidden(behind, [condition()])
    assert not alerts.is_hidden(behind, [condition(subject="stage")])
    assert not alerts.is_hidden(behind, [replace(condition(), stream="orders")])
    assert alerts.is_hidden(behind, [replace(condition(Kind.UNREADABLE, "", loops=()), stream="")])
    assert not alerts.is_hidden(behind, [replace(condition(Kind.UNREADABLE, "", loops=()), stream="orders")])
    assert alerts.is_hidden(condition(Kind.BEHIND, "stage"), [condition(Kind.SATURATED)])
    assert not alerts.is_hidden(condition(Kind.DEAD_LETTERS, loops=()), [condition()])


def test_what_nobody_could_read_is_not_over() -> None:
    observer = Observer()
    letters = condition(Kind.DEAD_LETTERS, loops=())
    observer.look(letters)
    observer.look_for(3_600, sees=lambda one: one.kind is not Kind.DEAD_LETTERS)
    assert len(observer.told) == 1
    observer.look_for(60)
    assert observer.told[-1].is_over


def test_one_that_could_not_be_told_is_due_again_under_the_same_id() -> None:
    observer = Observer()
    one = fresh(observer)
    observer.look_for(40, one)
    (began,) = observer.told
    assert observer.watch is not None
    observer.watch = alerts.not_told(observer.watch, began)
    (again,) = observer.look(one)
    assert again.id == began.id
    (over,) = observer.look_for(120)
    observer.watch = alerts.not_told(observer.watch, over)
    (again,) = observer.look()
    assert (again.id, again.is_over) == (over.id, True)


def test_one_whose_beginning_was_given_up_is_due_again_and_its_end_without_it_is_not_told() -> None:
    observer = Observer()
    one, other = fresh(observer), condition(subject="stage", since=observer.now)
    observer.look_for(40, one, other)
    assert observer.watch is not None
    observer.watch = alerts.due_again(observer.watch, {began.id for began in observer.told})
    (first,) = (began for began in observer.told if began.condition.subject == one.subject)
    (again,) = observer.look(one)
    assert (again.id, again.is_over) == (first.id, False)
    told = observer.look_for(120)
    assert [(over.alert, over.is_over) for over in told] == [(again.id, True)]


SPANS = st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([1, 2, 4, 7, 13, 40, 200])), max_size=40)
"""Whether it is there, whether it is seen, and for how many looks."""


def _always(is_seen: bool) -> Callable[[Condition], bool]:
    return lambda _: is_seen


def played(spans: Sequence[tuple[bool, bool, int]], kind: Kind) -> Iterator[tuple[float, Alert]]:
    observer = Observer()
    for is_there, is_seen, looks in spans:
        for _ in range(looks):
            present = [condition(kind, since=BEGIN)] if is_there and is_seen else []
            for told in observer.look(*present, sees=_always(is_seen)):
                yield observer.now, told


@settings(max_examples=60)
@given(SPANS, st.sampled_from([Kind.BEHIND, Kind.LOOP_STANDS_STILL, Kind.RUN_FAILED]))
def test_beginnings_and_ends_take_turns_with_ids_of_their_own_and_are_few(
    spans: Sequence[tuple[bool, bool, int]], kind: Kind
) -> None:
    told = list(played(spans, kind))
    assert [one.is_over for _, one in told] == [number % 2 == 1 for number in range(len(told))]
    assert len({one.id for _, one in told}) == len(told)
    assert all(one.alert == told[number - number % 2][1].alert for number, (_, one) in enumerate(told))
    ends = [at for at, one in told if one.is_over]
    most = 6 if kind in BEGINS_AFTER else 8
    assert all(sum(begin <= at < begin + 3_600 for at in ends) <= most for begin in ends)


@settings(max_examples=60)
@given(SPANS)
def test_who_looks_long_enough_tells_how_it_is(spans: Sequence[tuple[bool, bool, int]]) -> None:
    long = 400
    for is_there in (True, False):
        told = list(played([*spans, (is_there, True, long)], Kind.LOOP_STANDS_STILL))
        assert bool(told and not told[-1][1].is_over) is is_there


def test_what_is_dropped_is_what_the_receiver_dislikes_itself() -> None:
    assert not alerts.gives_up(1_000, is_refused=False)
    drops = [
        tries
        for tries in itertools.takewhile(lambda n: n < 9, itertools.count(1))
        if alerts.gives_up(tries, is_refused=True)
    ]
    assert drops[0] == alerts.GIVES_UP_REFUSED
