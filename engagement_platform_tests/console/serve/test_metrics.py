"""`/metrics` as a program gets it."""

import itertools
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain
from starlette.testclient import TestClient

from engagement_platform.console.serve.dagster import OLD_SECONDS, DagsterReading
from engagement_platform.console.serve.metrics import families
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.metric_values import samples
from engagement_platform.domain.metrics import METRICS, Kind
from engagement_platform_tests.console.serve.conftest import Still, unread
from engagement_platform_tests.readings import facts, reading

OPEN = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


def test_the_answer_is_there_while_nothing_can_be_read(still: Still) -> None:
    answer = still().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    told = {family.name: family for family in plain(answer.text)}
    assert [(one.labels, one.value) for one in told["engagement_up"].samples] == [({"stream": "engagement"}, 0.0)]
    assert "engagement_events" not in told


def test_open_metrics_are_given_to_who_asks_for_them(still: Still) -> None:
    answer = still().get("/metrics", headers=OPEN)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    kinds = {family.name: family.type for family in open_metrics(answer.text)}  # type: ignore[no-untyped-call]
    assert kinds["engagement_up"] == "gauge"
    assert kinds["engagement_build"] == "info"


def test_every_metric_becomes_a_family_of_its_kind_in_the_order_of_the_page() -> None:
    made = list(families(samples(reading())))
    assert [family.name for family in made] == [metric.name for metric in METRICS]
    assert [family.type for family in made] == [metric.kind.value for metric in METRICS]
    assert [family.unit for family in made] == [metric.unit for metric in METRICS]


def test_a_histogram_and_a_state_set_are_whole() -> None:
    made = {family.name: family for family in families(samples(reading()))}
    latency = [one for one in made["engagement_event_latency_seconds"].samples if one.labels["destination"] == "redis"]
    counts = [one.value for one in latency if one.name.endswith("_bucket")]
    assert counts == sorted(counts)
    assert counts[-1] == next(one.value for one in latency if one.name.endswith("_count")) == 10
    assert next(one.value for one in latency if one.name.endswith("_sum")) == pytest.approx(0.2)
    for metric in METRICS:
        if metric.kind is Kind.STATE_SET:
            states = [one.value for one in made[metric.name].samples]
            assert sum(states) == len(states) / len(metric.states)


def test_over_real_servers_it_is_told_how_the_stream_stands(client: TestClient) -> None:
    told = {family.name: family for family in plain(client.get("/metrics").text)}
    assert [one.value for one in told["engagement_up"].samples] == [1.0]
    assert [one.value for one in told["engagement_streaming"].samples] == [0.0]
    assert {one.labels["loop"] for one in told["engagement_loop_state"].samples} == {
        "relay", "tally", "stage", "forward",
    }  # fmt: skip


def test_of_a_dagster_that_gives_no_answer_any_more_there_is_nothing_but_that_it_is_not_up(still: Still) -> None:
    for age, up in ((5.0, 1.0), (OLD_SECONDS + 5, 0.0)):
        sample = replace(unread(), dagster=replace(facts(), at=time.time() - age))
        told = {family.name: family for family in plain(still(sample).get("/metrics").text)}
        assert [one.value for one in told["engagement_dagster_up"].samples] == [up]
        assert ("engagement_dagster_runs" in told) == bool(up)


def test_a_look_at_dagster_that_never_ends_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, is_asked = threading.Event(), threading.Event()

    def opens() -> Any:
        is_asked.set()
        hangs.wait(30)
        raise Unavailable("It was let go.")

    monkeypatch.setenv("DAGSTER_HOME", "/somewhere")
    reading_ = DagsterReading(opens)
    assert reading_.present(time.time() + 900) is None, "nobody has asked yet"
    asks = threading.Thread(target=reading_.read)
    asks.start()
    assert is_asked.wait(10)
    assert reading_.present(time.time() + 5) is None
    assert isinstance(reading_.present(time.time() + OLD_SECONDS + 5), Unavailable)
    hangs.set()
    asks.join(10)


def test_dagster_is_asked_where_it_is_and_opened_anew_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    class Reader:
        def read(self) -> DagsterFacts:
            if len(opened) == 1:
                raise Unavailable("Dagster's storage does not answer.")
            return facts()

    def opens() -> Reader:
        opened.append(1)
        return Reader()

    reading_ = DagsterReading(opens)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    reading_.read()
    assert (reading_.latest, opened) == (None, [])
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere")
    reading_.read()
    failed: object = reading_.latest
    assert isinstance(failed, Unavailable)
    reading_.read()
    reading_.read()
    told: object = reading_.latest
    assert told == facts()
    assert len(opened) == 2


def test_a_connection_to_dagster_that_was_cut_is_made_anew_within_the_same_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut: set[int] = set()

    class Reader:
        def __init__(self, number: int) -> None:
            self.number = number

        def read(self) -> DagsterFacts:
            if self.number in cut:
                raise Unavailable("Dagster's storage does not answer.")
            return facts()

    numbers = itertools.count(1)
    monkeypatch.setenv("DAGSTER_HOME", "/somewhere")
    reading_ = DagsterReading(lambda: Reader(next(numbers)))
    reading_.read()
    cut.add(1)
    reading_.read()
    assert reading_.latest == facts()
    cut |= {2, 3}
    reading_.read()
    failed: object = reading_.latest
    assert isinstance(failed, Unavailable)
    assert next(numbers) == 4, "away is asked once more, and not again and again"
