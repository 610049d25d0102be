"""Histograms that only grow, which any number of readers subtract, add up and keep."""

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.latency import Histogram, Latencies, Recent, from_object, to_object

seconds = st.lists(st.floats(0, 10_000), max_size=200)


def counted(*lists: list[float]) -> Latencies:
    histogram = Histogram()
    for one in lists:
        for latency in one:
            histogram.add(latency)
    return histogram.present()


def exact(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@given(seconds.filter(bool), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_within_five_percent_and_a_tenth_of_a_millisecond(
    latencies: list[float], share: float
) -> None:
    told = counted(latencies).quantile(share)
    assert told is not None
    assert exact(latencies, share) - 1e-9 <= told <= exact(latencies, share) * 1.0501 + 0.0001


@given(seconds, seconds)
def test_those_of_a_span_are_what_has_come_since(before: list[float], since: list[float]) -> None:
    histogram = Histogram()
    for latency in before:
        histogram.add(latency)
    begin = histogram.present()
    for latency in since:
        histogram.add(latency)
    span = histogram.present() - begin
    alone = counted(since)
    assert (span.buckets, span.count) == (alone.buckets, len(since))
    assert abs(span.sum - alone.sum) < 1e-3
    assert alone.maximum <= span.maximum + 1e-9
    assert span.maximum <= alone.maximum * 1.0501 + 0.0001


@given(seconds, seconds)
def test_those_of_two_runs_are_added_up(one: list[float], other: list[float]) -> None:
    added, together = counted(one) + counted(other), counted(one, other)
    assert (added.buckets, added.maximum) == (together.buckets, together.maximum)


@given(seconds)
def test_they_come_back_as_they_were_kept(latencies: list[float]) -> None:
    assert from_object(to_object(counted(latencies))) == counted(latencies)


def test_a_negative_latency_counts_as_zero() -> None:
    assert counted([-1.0]).quantile(1.0) == 0.0


def test_what_cannot_be_read_is_none() -> None:
    for kept in (None, 7, {}, {"buckets": 3}, {"buckets": {"a": 1}, "sum": 1, "max": 1}):
        assert from_object(kept) == Latencies()


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=60))
def test_the_last_minute_is_what_came_in_it(steps: list[tuple[float, int]]) -> None:
    histogram, recent, now, came = Histogram(), Recent(), 0.0, list[tuple[float, int]]()
    recent.of(histogram.present(), now)
    for pause, number in steps:
        now += pause
        if number:
            histogram.add(0.01, number)
            came.append((now, number))
        told = recent.of(histogram.present(), now).count
        assert sum(n for at, n in came if now - at < Recent.SECONDS) <= told
        assert told <= sum(n for at, n in came if now - at <= Recent.SECONDS + 50)
