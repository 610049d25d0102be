"""New views beside the live ones, and how they take their place."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from engagement_platform.adapters.redis.counts import Applied, Batch
from engagement_platform.domain.event_stream import EventStream
from engagement_platform_tests.adapters.redis.tallied import (
    Tallied,
    event,
)
from engagement_platform_tests.streams import ORDERS, PACKAGED

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("clock_of_the_test")]


@pytest.fixture(params=[PACKAGED, ORDERS], ids=lambda stream: stream.name)
def stream(request: pytest.FixtureRequest) -> EventStream:
    stream: EventStream = request.param
    return stream


@pytest.fixture
def build(tallied: Tallied) -> Iterator[Batch]:
    """A build g2 beside g1, and a batch for it."""
    tallied.send(event(content="live"))
    tallied.counts.begin("g2", "t2", {0: 100, 1: 0})
    batch = replace(tallied.batch(event(content="built")), generation="g2", topic_id="t2", offsets={0: (100, 101)})
    assert isinstance(tallied.counts.apply(batch, build=True), Applied)
    yield batch
    tallied.counts.discard("g2")


def test_nobody_sees_a_build_until_it_replaces_everything(tallied: Tallied, build: Batch) -> None:
    before = tallied.assert_exact()
    assert before.views[tallied.first].keys() == {"live"}
    assert tallied.counts.promote("g2", "g1") == "promoted"
    after = tallied.views.snapshot()
    assert after.views[tallied.first].keys() == {"built"}
    assert all(texts.keys() == {"built"} for texts in after.display.values())
    assert (after.offsets, after.meta["generation"], after.meta["topic_id"]) == ({0: 101, 1: 0}, "g2", "t2")
    assert not any(key.startswith("build:") for key in tallied.key_names())


def test_a_promoted_build_never_expires_and_goes_on(client: redis.Redis, tallied: Tallied, build: Batch) -> None:
    tallied.counts.promote("g2", "g1")
    assert {client.ttl(f"{{{tallied.namespace}}}:{key}") for key in tallied.key_names()} == {-1}
    onwards = replace(build, offsets={0: (101, 102), 1: (0, 0)})
    assert isinstance(tallied.counts.apply(onwards), Applied)
    assert tallied.views.snapshot().views[tallied.first] == {"built": [2, 10]}


def test_every_key_of_a_build_expires_with_its_process(client: redis.Redis, tallied: Tallied, build: Batch) -> None:
    keys = [key for key in tallied.key_names() if key.startswith("build:")]
    assert len(keys) > 10
    assert all(0 < client.ttl(f"{{{tallied.namespace}}}:{key}") <= 60 for key in keys)


def test_nothing_of_the_old_views_outlives_a_promotion(tallied: Tallied) -> None:
    """An empty build has no views of its own that would overwrite the old ones."""
    tallied.send(event(), event(-20_000))
    tallied.counts.begin("g2", "t2", {0: 0})
    assert tallied.counts.promote("g2", "g1") == "promoted"
    assert tallied.key_names() == {"meta", "offsets"}


def test_of_two_builds_one_is_promoted(tallied: Tallied, build: Batch) -> None:
    tallied.counts.begin("g3", "t2", {0: 0})
    assert tallied.counts.promote("g2", "g1") == "promoted"
    assert tallied.counts.promote("g3", "g1") == "raced"
    assert tallied.counts.state().generation == "g2"


def test_a_build_that_is_gone_is_not_promoted(tallied: Tallied, build: Batch) -> None:
    tallied.counts.discard("g2")
    assert tallied.counts.promote("g2", "g1") == "gone"
    tallied.assert_exact()


def test_a_discarded_build_leaves_nothing(tallied: Tallied, build: Batch) -> None:
    tallied.counts.discard("g2")
    assert not any(key.startswith("build:") for key in tallied.key_names())
    tallied.assert_exact()


def test_the_state_of_a_build_is_its_own(tallied: Tallied, build: Batch) -> None:
    assert tallied.counts.state("g2").offsets == {0: 101, 1: 0}
    assert tallied.counts.state().offsets == {0: 1}
