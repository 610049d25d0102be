"""The metrics keep Prometheus' conventions, and what is read becomes their values."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import metrics, progress
from engagement_platform.domain.latency import Histogram, counts_up_to
from engagement_platform.domain.loop_state import STREAMING, Activity, Pause
from engagement_platform.domain.metric_values import Reading, StreamReading, loop_state, samples
from engagement_platform.domain.metrics import BOUNDS, LABELS, METRICS, Kind
from engagement_platform.domain.promises import promises
from engagement_platform.domain.status import STARTS_WITHIN_SECONDS
from engagement_platform_tests.readings import NOW, figures, reading, shard, status, stream

UNITS = {"seconds", "bytes"}


def values(told: Reading, metric: metrics.Metric) -> dict[tuple[str, ...], object]:
    return {sample.labels: sample.value for sample in samples(told) if sample.metric is metric}


def of_stream(told: StreamReading) -> Reading:
    return Reading(NOW, "1", "3", {told.name: told})


def test_each_metric_has_a_name_and_a_meaning_of_its_own() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(metrics.BY_NAME)
    for metric in METRICS:
        assert re.fullmatch(r"engagement_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.help.endswith(".")
        assert not metric.name.endswith(("_total", "_info", "_bucket", "_sum", "_count"))


def test_units_are_base_units_and_stand_at_the_end_of_the_name() -> None:
    for metric in METRICS:
        last = metric.name.rpartition("_")[2]
        assert (last in UNITS) == bool(metric.unit)
        assert metric.unit in ("", last)


def test_each_label_says_what_its_values_are() -> None:
    used = {label for metric in METRICS for label in metric.labels}
    assert used == LABELS.keys()


def test_a_state_set_has_states_and_nothing_else_has() -> None:
    assert all(bool(metric.states) == (metric.kind is Kind.STATE_SET) for metric in METRICS)
    words = {activity.value.replace(" ", "_") for activity in Activity}
    assert words < set(metrics.LOOP_STATES)
    assert set(metrics.STILL_STATES) < set(metrics.LOOP_STATES)
    assert set(metrics.PASSING_STATES) == {activity.value.replace(" ", "_") for activity in STREAMING}
    assert progress.BREAKER.words == metrics.BREAKER_STATES


def test_every_usual_promise_is_a_bound_of_the_histogram() -> None:
    for warehouse, seconds in (("delta", 5.0), ("bigquery", 30.0)):
        assert set(promises(warehouse, seconds).values()) <= set(BOUNDS)


def test_a_reading_of_everything_has_every_metric_each_series_once() -> None:
    told = list(samples(reading()))
    assert {sample.metric.name for sample in told} == metrics.BY_NAME.keys()
    series = [(sample.metric.name, sample.labels) for sample in told]
    assert len(set(series)) == len(series)
    assert all(len(sample.labels) == len(sample.metric.labels) for sample in told)
    assert all(sample.value in sample.metric.states for sample in told if sample.metric.kind is Kind.STATE_SET)


def test_every_counter_and_gauge_of_a_loop_is_told() -> None:
    """A figure that is added is told, or stands here with the reason."""
    before = set(samples_of(figures()))
    elsewhere = {progress.BEHIND, progress.DONE}  # engagement_lag_seconds; the rate of engagement_events_total
    for figure in (*progress.COUNTERS, *progress.GAUGES):
        told = figures()
        changed = (
            replace(told, counters={**told.counters, figure: 10**6})
            if isinstance(figure, progress.Counter)
            else replace(told, gauges={**told.gauges, figure: 123.0})
        )
        assert (set(samples_of(changed)) != before) == (figure not in elsewhere), figure.name


def samples_of(told: progress.Figures) -> list[str]:
    made = stream(**{loop: status(loop, told) for loop in ("relay", "tally", "stage", "forward")})
    made = replace(made, totals=dict.fromkeys(made.totals, told))
    return [repr(sample) for sample in samples(of_stream(made))]


def test_which_shard_stands_still_is_told_and_nothing_where_one_run_reads_all() -> None:
    stopped = status("tally", figures(Activity.STOPPED))
    made = of_stream(replace(stream(), shards=(shard(0, tally=stopped), shard(1), shard(2, lives=False))))
    assert values(made, metrics.STREAMING) == {("engagement",): 0.0}
    lives = {labels[1]: value for labels, value in values(made, metrics.SHARD_STREAMING).items()}
    assert lives == {"0": 1.0, "1": 1.0, "2": 0.0}
    still = {labels[1:] for labels, value in values(made, metrics.SHARD_PASSING).items() if value == 0.0}
    assert still == {("0", "tally"), *(("2", loop) for loop in ("relay", "tally", "stage", "forward"))}
    assert ("engagement", "2", "tally") not in values(made, metrics.SHARD_LAG), "it may not be true any more"
    assert values(of_stream(stream()), metrics.SHARD_STREAMING) == {}


def test_of_a_stream_that_cannot_be_read_only_that_is_told() -> None:
    told = list(samples(Reading(NOW, "1", "3", {"engagement": None})))
    assert [(one.metric, one.labels, one.value) for one in told if "engagement" in one.labels] == [
        (metrics.UP, ("engagement",), 0.0)
    ]


def test_counters_are_not_told_before_they_are_known() -> None:
    made = replace(stream(), totals={})
    kinds = {sample.metric.kind for sample in samples(of_stream(made)) if sample.metric is not metrics.HAND_OVERS}
    assert not kinds & {Kind.COUNTER, Kind.HISTOGRAM}, "else they would seem to jump from 0"


def test_lag_is_that_of_the_last_sign_of_life_and_grows_when_there_is_none() -> None:
    lives = of_stream(stream(tally=status("tally", silent=1.0)))
    which = ("engagement", "tally", "redis")
    assert values(lives, metrics.LAG_SECONDS)[which] == pytest.approx(2.0)
    silent = of_stream(stream(tally=status("tally", silent=40.0)))
    assert values(silent, metrics.LAG_SECONDS)[which] == pytest.approx(3.0)
    assert values(silent, metrics.AS_OF)[which] == NOW - 3.0
    assert ("engagement", "tally") not in values(silent, metrics.LAG), "it may not be true any more"


def test_the_state_of_a_loop_is_one_word_whatever_becomes_of_it() -> None:
    loops = {
        "streams": stream(),
        "absent": replace(stream(), loops={}),
        "silent": stream(tally=status("tally", silent=60.0)),
        "ended": stream(tally=status("tally", ended=True, silent=60.0)),
        "gives_way": stream(tally=status("tally", figures(Activity.GIVES_WAY))),
        "stands_by": stream(tally=status("tally", figures(Activity.STANDS_BY))),
    }
    for state, told in loops.items():
        assert loop_state(told, "tally") == state
    pause = Pause("tally", told.snapshot.now, "me", "")
    rests = replace(stream(tally=status("tally", ended=True)), pauses={"tally": pause})
    assert loop_state(rests, "tally") == "paused"
    assert STARTS_WITHIN_SECONDS


@pytest.mark.parametrize(
    ("loop", "state", "subject", "told"),
    [
        ("relay", Activity.WAITS, "the source", {"source": 0.0, "redis": 1.0, "kafka": 1.0}),
        ("relay", Activity.REFUSED, "the source", {"source": 0.0}),
        ("tally", Activity.WAITS, "Redis at localhost:6379", {"redis": 0.0, "kafka": 1.0, "source": 1.0}),
        ("tally", Activity.WAITS, "Kafka at a:9092", {"kafka": 0.0}),
        ("stage", Activity.WAITS, "BigQuery", {"warehouse": 0.0, "partner": 1.0}),
        ("stage", Activity.WAITS, "the warehouse", {"warehouse": 0.0, "kafka": 1.0}),
        ("forward", Activity.REFUSED, "the partner's API", {"partner": 0.0}),
        ("forward", Activity.STANDS_BY, "", {"platform_database": 1.0}),
    ],
)
def test_a_server_is_usable_as_the_loops_say(loop: str, state: Activity, subject: str, told: dict[str, float]) -> None:
    made = of_stream(stream(**{loop: status(loop, figures(state, subject))}))
    reachable = {labels[1]: value for labels, value in values(made, metrics.REACHABLE).items()}
    assert reachable.items() >= told.items()
    if state is Activity.STANDS_BY:
        assert "partner" not in reachable, "nobody says so"


def test_what_is_another_one_each_time_is_no_label() -> None:
    told = values(reading(), metrics.CONDITION)
    assert set(told) == {
        ("engagement", "breaker_open", "critical", "forward"),
        ("", "backfill_failed", "warning", ""),
        ("engagement", "run_failed", "warning", "settle_day"),
    }
    assert values(reading(), metrics.CONDITIONS) == {("critical",): 1, ("warning",): 3}
    assert values(reading(), metrics.FAILED_RUNS) == {("engagement", "settle_day"): 2}


def test_a_dagster_that_does_not_answer_is_told_and_one_that_is_not_asked_is_not() -> None:
    assert values(replace(reading(), dagster=None), metrics.DAGSTER_UP) == {(): 0.0}
    assert values(replace(reading(), dagster=None, is_dagster_asked=False), metrics.DAGSTER_UP) == {}


@given(st.lists(st.floats(0, 10_000), max_size=30), st.lists(st.floats(0, 10_000), max_size=5))
def test_the_buckets_of_the_histogram_hold_what_they_say_and_only_grow(first: list[float], more: list[float]) -> None:
    histogram = Histogram()
    for seconds in first:
        histogram.add(seconds)
    before = counts_up_to(histogram.present(), BOUNDS)
    assert before == sorted(before)
    for bound, count in zip(BOUNDS, before, strict=True):
        assert count <= sum(seconds <= bound * 1.0001 for seconds in first)
        assert count >= sum(seconds < bound * 0.95 - 0.0001 for seconds in first)
    for seconds in more:
        histogram.add(seconds)
    after = counts_up_to(histogram.present(), BOUNDS)
    assert all(late >= early for late, early in zip(after, before, strict=True))
