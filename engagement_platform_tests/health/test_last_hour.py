"""The latencies of the last hour, over hand-overs and in leases longer than that."""

from engagement_platform.domain.latency import Histogram
from engagement_platform.health.last_hour import SECONDS, LastHour


def test_runs_of_the_last_hour_are_added_up_by_loop() -> None:
    one, two = Histogram(), Histogram()
    one.add(0.1, 5)
    two.add(0.2, 7)
    hour = LastHour()
    told = hour.of({("a", "tally"): one.present(), ("b", "tally"): two.present(), ("b", "stage"): one.present()}, 0.0)
    assert {loop: latencies.count for loop, latencies in told.items()} == {"tally": 12, "stage": 5}


def test_of_a_run_longer_than_an_hour_only_the_last_hour_counts() -> None:
    histogram, hour = Histogram(), LastHour()
    histogram.add(9.0, 1_000)
    for second in range(0, int(2 * SECONDS), 60):
        histogram.add(0.1, 1)
        told = hour.of({("a", "tally"): histogram.present()}, float(second))["tally"]
    assert told.maximum < 1.0, "what was slow is long past"
    assert SECONDS / 60 <= told.count <= SECONDS / 60 * 1.2


def test_a_run_that_is_gone_is_forgotten() -> None:
    histogram, hour = Histogram(), LastHour()
    histogram.add(0.1)
    hour.of({("a", "tally"): histogram.present()}, 0.0)
    assert hour.of({}, 1.0) == {}
