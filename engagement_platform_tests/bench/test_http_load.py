"""What asks a server at a rate, over a page that is served."""

import json
import os
from collections.abc import Iterator

import pytest

from engagement_platform_tests.bench.http_load import ask
from engagement_platform_tests.console.serve.api.samples import sample
from engagement_platform_tests.console.serve.served import Served


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(sample())
    yield made
    made.end()


def asked(served: Served, path: str, rate: float) -> tuple[int, int, bytes]:
    came = ask(int(served.url.rpartition(":")[2]), path, os.getpid(), rate, 0.5, 4)
    assert came.answers == len(came.latencies)
    assert 0 < came.quantile(0.5) <= came.quantile(1.0)
    return came.answers, came.failures, came.last


def asked_in_time(served: Served, path: str) -> tuple[int, bytes]:
    """Ask fifty times within half a second, again where the machine had too little time for that."""
    while (came := asked(served, path, 100.0))[0] < 50:
        assert came[0] > 0
    assert came[0] == 50
    return came[1:]


def test_at_a_rate_there_are_as_many_answers_as_the_rate_says(served: Served) -> None:
    failures, last = asked_in_time(served, "/readyz")
    assert failures == 0
    assert json.loads(last)["age_seconds"] >= 0


def test_without_a_rate_the_next_request_follows_the_answer(served: Served) -> None:
    answers, failures, _ = asked(served, "/readyz", 0.0)
    assert answers > 50
    assert failures == 0


def test_answers_that_are_errors_are_counted(served: Served) -> None:
    failures, last = asked_in_time(served, "/api/v1/top")
    assert failures == 50
    assert json.loads(last)["status"] == 400
