"""The figures of the bench, from observations that are made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform_tests.bench.peers import budgets, results
from engagement_platform_tests.bench.peers.reader import id_of
from engagement_platform_tests.bench.peers.report import Report
from engagement_platform_tests.bench.peers.results import CaughtUp, Ends, Note, NothingSeen, Rebuilt, Streamed, Window

WINDOW = Window(1_000_000_000, 3_000_000_000)


def ms(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)


def streamed(name: str = "relay", **changes: float) -> Streamed:
    figures = {"p50": 10.0, "p95": 20.0, "p99": 40.0, "largest": 60.0} | changes
    return Streamed(
        name=name, seconds=45, events=45_000, quantiles=(), missed=0, doubled=0,
        cpu={"relay": figures.pop("cpu", 100.0), "Kafka": 50.0, "PostgreSQL": 30.0, "generator": 20.0}, **figures,
    )  # fmt: skip


def caught_up(name: str, rate: float, cpu: float) -> CaughtUp:
    return CaughtUp(name, 300_000, rate, rate / 2, 0, 0, {"relay": cpu, "Kafka": 2.0})


def test_a_latency_is_from_the_return_of_the_commit_to_the_first_record_of_an_event() -> None:
    notes = [Note(ms(1_500), [7, 8]), Note(ms(1_600), [9])]
    sightings = [(7, ms(1_510)), (8, ms(1_530)), (9, ms(1_605)), (7, ms(1_900))]
    result = results.streamed("relay", notes, sightings, WINDOW, {"relay": 0.3})
    assert (result.p50, result.largest, result.events, result.doubled, result.missed) == (10, 30, 3, 1, 0)
    assert result.cpu == {"relay": pytest.approx(100_000)}


def test_what_was_committed_outside_the_window_is_not_measured_but_may_be_missed() -> None:
    notes = [Note(ms(900), [1]), Note(ms(1_000), [2]), Note(ms(2_999), [3]), Note(ms(3_000), [4])]
    result = results.streamed("relay", notes, [(2, ms(1_001)), (3, ms(3_004)), (4, ms(3_500))], WINDOW, {})
    assert (result.events, result.missed) == (2, 1)
    assert (result.p50, result.largest) == (1, 5)


def test_an_event_that_the_reader_has_before_the_writer_knows_of_its_commit_took_no_time() -> None:
    assert results.latencies_ms([Note(ms(2_000), [1])], {1: ms(1_999)}, WINDOW) == [0]


def test_a_relay_that_published_nothing_has_no_figures() -> None:
    with pytest.raises(NothingSeen, match="relay published no event"):
        results.streamed("relay", [Note(ms(2_000), [1])], [], WINDOW, {})


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.001, 1))
def test_a_quantile_is_a_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    values.sort()
    at = results.quantile(values, share)
    assert at in values
    assert sum(value <= at for value in values) >= share * len(values) - 1e-6 * len(values)
    assert sum(value < at for value in values) <= share * len(values)


def test_catching_up_ends_with_the_last_that_came_and_not_with_the_wait_behind_it() -> None:
    samples = [Ends(0, 0), Ends(5, 100), Ends(6, 4_000), Ends(10, 10_004), Ends(10.5, 10_004), Ends(11, 10_004)]
    assert results.rates(samples, 10_000, began=0) == (2_000, 1_000)
    assert not results.caught_up(samples[:-1], 10_000, quiet_seconds=1)
    assert results.caught_up(samples, 10_000, quiet_seconds=1)
    assert not results.caught_up(samples, 20_000, quiet_seconds=1)


def test_an_event_is_known_by_its_id_in_this_platforms_messages_and_in_debeziums() -> None:
    assert id_of(b'{"id":5,"after_all":null}') == 5
    assert id_of(b'{"before":null,"after":{"id":6,"device":"ios"},"op":"c"}') == 6
    with pytest.raises(ValueError, match="no message of an event"):
        id_of(b'{"schema":null}')


def test_the_budgets_of_a_steady_load_are_ratios_to_each_peer() -> None:
    ours = streamed("relay", p50=12.0, p99=50.0, cpu=90.0)
    peers = [streamed(budgets.AT_LEAST_ONCE, cpu=280.0), streamed(budgets.EXACTLY_ONCE, p50=30.0, p99=50.5, cpu=300.0)]
    figures = {figure.what: figure for figure in budgets.of_streams([ours, *peers, streamed(budgets.POLLER)])}
    at_least_once = {what: one.verdict for what, one in figures.items() if budgets.AT_LEAST_ONCE in what}
    assert list(at_least_once.values()) == ["ok", "missed", "ok", ""]
    exactly_once = {what: one.verdict for what, one in figures.items() if budgets.EXACTLY_ONCE in what}
    assert list(exactly_once.values()) == ["ok", "ok", "ok", ""]
    assert not any(budgets.POLLER in what for what in figures)


def test_the_budgets_of_catching_up_and_of_the_rebuild_are_ratios_too() -> None:
    caught = [caught_up("relay, librdkafka", 48_000, 7.0), caught_up(budgets.AT_LEAST_ONCE, 12_000, 50.0)]
    assert [figure.verdict for figure in budgets.of_catching_up(caught)] == ["ok", "ok"]
    rebuilt = [Rebuilt("rebuild", 100, 1, 1, 800), Rebuilt("dlt", 100, 9, 4.9, 700), Rebuilt("ingestr", 100, 1, 2, 9)]
    assert [figure.verdict for figure in budgets.of_rebuilds(rebuilt)] == ["missed", "ok"]


def test_a_peer_that_was_not_measured_has_no_ratio() -> None:
    report = Report("make bench peers", streams=[streamed()], skipped=["Debezium could not be downloaded"])
    assert report.budgets() == []
    assert report.as_data()["skipped"] == ["Debezium could not be downloaded"]
