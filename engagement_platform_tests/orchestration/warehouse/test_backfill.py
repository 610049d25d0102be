from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.orchestration.private import Parts
from engagement_platform.orchestration.warehouse.backfill import DayState, Progress, states, to_retry

ONE, TWO = date(2026, 3, 1), date(2026, 3, 2)
BOTH = frozenset({str(ONE), str(TWO)})
NONE: frozenset[str] = frozenset()


def parts(done: frozenset[str] = NONE, failed: frozenset[str] = NONE, requested: frozenset[str] = NONE) -> Parts:
    return Parts(BOTH, done, failed, requested)


def test_a_day_is_done_when_all_its_tables_are() -> None:
    found = states([parts(done=BOTH), parts(done=frozenset({str(ONE)}), requested=BOTH)])
    assert found == {ONE: DayState.DONE, TWO: DayState.RUNS}


def test_a_day_has_failed_when_one_of_its_tables_has() -> None:
    assert states([parts(done=BOTH), parts(failed=frozenset({str(TWO)}))])[TWO] is DayState.FAILED


def test_what_failed_and_was_made_again_is_done() -> None:
    assert states([parts(done=BOTH, failed=BOTH)]) == {ONE: DayState.DONE, TWO: DayState.DONE}


def test_days_in_a_state_are_ascending() -> None:
    progress = Progress("id", "REQUESTED", ended=False, days=states([parts()]), error=None)
    assert progress.in_state(DayState.WAITS) == [ONE, TWO]


def test_a_retry_is_for_what_failed_and_at_the_end_for_all_that_was_not_done() -> None:
    days = states([parts(failed=frozenset({str(ONE)}), requested=BOTH)])
    assert to_retry(Progress("id", "REQUESTED", ended=False, days=days, error=None)) == [ONE]
    assert to_retry(Progress("id", "CANCELED", ended=True, days=days, error=None)) == [ONE, TWO]
    assert to_retry(Progress("id", "FAILED", ended=True, days=states([parts()]), error="?")) == [ONE, TWO]


subsets = st.frozensets(st.sampled_from(sorted(BOTH)))


@given(st.lists(st.builds(parts, subsets, subsets, subsets), min_size=1))
def test_every_wanted_day_has_a_state_and_done_needs_every_table(every: list[Parts]) -> None:
    found = states(every)
    assert set(found) == {ONE, TWO}
    for day, state in found.items():
        assert (state is DayState.DONE) == all(str(day) in each.done for each in every)
