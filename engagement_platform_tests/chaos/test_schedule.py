"""When which fault begins."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform_tests.chaos.registry import FAULTS, possible
from engagement_platform_tests.chaos.schedule import QUIET_SECONDS, schedule


@dataclass(frozen=True)
class Some:
    name: str
    takes: float
    once: bool


kinds = st.lists(
    st.builds(Some, st.text("abcdef", min_size=1), st.floats(0, 300), st.booleans()),
    unique_by=lambda kind: kind.name,
    min_size=1,
)
seeds, seconds = st.integers(), st.floats(0, 7_200)


@given(seeds, seconds, kinds)
def test_it_is_a_function_of_the_seed(seed: int, time: float, those: list[Some]) -> None:
    assert schedule(seed, time, those) == schedule(seed, time, those)


@given(seeds, seconds, kinds)
def test_every_kind_occurs_and_those_that_leave_traces_once_at_the_end(
    seed: int, time: float, those: list[Some]
) -> None:
    names = [moment.name for moment in schedule(seed, time, those)]
    last = {kind.name for kind in those if kind.once}
    assert set(names) == {kind.name for kind in those}
    assert set(names[len(names) - len(last) :]) == last
    assert all(names.count(name) == 1 for name in last)


@given(seeds, seconds, kinds)
def test_none_begins_before_the_last_has_healed(seed: int, time: float, those: list[Some]) -> None:
    takes, until = {kind.name: kind.takes for kind in those}, 0.0
    for moment in schedule(seed, time, those):
        assert QUIET_SECONDS[0] <= moment.pause <= QUIET_SECONDS[1]
        assert moment.at == until + moment.pause
        assert moment.until == moment.at + takes[moment.name]
        until = moment.until


@given(seeds, kinds)
def test_a_longer_run_begins_like_a_shorter_one_and_keeps_the_time(seed: int, those: list[Some]) -> None:
    repeated = [Some(kind.name, kind.takes, once=False) for kind in those]
    short, long = schedule(seed, 0, repeated), schedule(seed, 3_600, repeated)
    assert long[: len(short)] == short
    assert len(short) == len(repeated)
    if len(long) > len(short):
        assert long[-1].until <= 3_600 + QUIET_SECONDS[1] * len(long)


def test_seeds_differ() -> None:
    assert len({tuple(moment.name for moment in schedule(seed, 0, FAULTS)) for seed in range(20)}) == 20


def test_each_fault_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.what and fault.heals and fault.takes > 0 for fault in FAULTS)


def test_without_dagster_what_needs_it_is_left_out_and_named() -> None:
    there, left_out = possible(FAULTS, has_dagster=False)
    assert {"kill the run", "kill the code server", "backfill today", "lose the platform"} <= left_out.keys()
    assert {"kill relay", "cut kafka", "empty redis", "swap the table"} <= {fault.name for fault in there}
    assert {fault.name for fault in there} == {fault.name for fault in FAULTS} - left_out.keys()
