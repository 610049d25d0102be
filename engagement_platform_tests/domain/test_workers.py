"""Which runs are taken for dead. An observer looks while processes beat, die, and the database is away."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.workers import BEAT_SECONDS, BEGIN, BOOT, RECENT, SILENT, Memory, judge

NOW = datetime(2026, 3, 2, tzinfo=UTC)
BEAT = timedelta(seconds=BEAT_SECONDS)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def last_beat(moment: datetime, died: datetime | None, begun: datetime) -> datetime | None:
    """The last heartbeat that stands in the database at a moment."""
    until = moment if died is None else min(moment, died)
    return None if until < begun else begun + (until - begun) // BEAT * BEAT


@given(pauses=st.lists(st.floats(1, 39), min_size=1, max_size=60), begins=st.floats(0, 60))
def test_a_process_that_beats_is_never_taken_for_dead(pauses: list[float], begins: float) -> None:
    memory, moment = None, NOW
    for pause in pauses:
        moment += timedelta(seconds=pause)
        verdict = judge({"run": last_beat(moment, None, after(begins))}, memory, moment)
        assert not verdict.dead
        memory = verdict.memory


@given(
    pauses=st.lists(st.floats(5, 30), min_size=60, max_size=80),
    dies=st.floats(0, 300),
    begins=st.one_of(st.just(100_000.0), st.floats(0, 30)),
)
def test_a_dead_one_is_noticed_within_two_looks_after_the_patience(
    pauses: list[float], dies: float, begins: float
) -> None:
    memory, moment, died = None, NOW, after(dies)
    for pause in pauses:
        moment += timedelta(seconds=pause)
        verdict = judge({"run": last_beat(moment, died, after(begins))}, memory, moment)
        memory = verdict.memory
        if verdict.dead:
            return
        began = last_beat(moment, died, after(begins)) is not None
        assert moment - max(died, NOW) < (SILENT if began else BOOT) + 2 * timedelta(seconds=30)
    raise AssertionError("never noticed")


def test_nothing_is_concluded_from_a_time_in_which_nobody_looked() -> None:
    """Neither after an outage of the database, in which the run could not beat, nor after a restart of Dagster."""
    known = judge({"run": NOW}, None, NOW).memory
    verdict = judge({"run": NOW}, known, NOW + RECENT + timedelta(hours=1))
    assert not verdict.dead
    assert judge({"run": NOW}, verdict.memory, NOW + RECENT + timedelta(hours=1, seconds=30)).dead == {}


def test_each_run_is_judged_by_itself_and_one_that_has_never_beaten_gets_longer() -> None:
    memory: Memory | None = None
    for second in range(0, 300, 10):
        beats = {"lives": after(second), "silent": NOW, "never began": None}
        verdict = judge(beats, memory, after(second))
        memory = verdict.memory
        expected = {"silent"} if timedelta(seconds=second) >= SILENT else set()
        assert set(verdict.dead) == expected | ({"never began"} if timedelta(seconds=second) >= BOOT else set())


def test_the_time_to_begin_counts_from_the_start_of_the_process() -> None:
    memory: Memory | None = None
    for second in range(0, 300, 10):
        verdict = judge({"run": None}, memory, after(second), {"run"} if second >= 100 else ())
        memory = verdict.memory
        assert bool(verdict.dead) == (timedelta(seconds=second - 100) >= BEGIN)


def test_a_clock_that_went_back_proves_nothing() -> None:
    memory = judge({"run": NOW}, None, after(3600)).memory
    assert not judge({"run": NOW}, memory, NOW).dead
