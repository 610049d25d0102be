"""Comparing an hour of the stream with each sink, on the real servers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import redis
from deltalake import DeltaTable
from pydantic import SecretStr

from engagement_platform.domain.evidence import Evidence, Verdict
from engagement_platform.domain.reconciliation import named
from engagement_platform.history.evidence import evidence_of_hour
from engagement_platform.local.receiver import Receiver
from engagement_platform.orchestration.evidence import COMPLETE, delivery_evidence_of, evidence_key, hours_definition
from engagement_platform.recovery.relay import reset
from engagement_platform.settings import Settings, variable
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain, insert
from engagement_platform_tests.streams import PACKAGED

pytestmark = pytest.mark.servers


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def streamed(settings: Settings, writer: psycopg.Connection[Any]) -> Iterator[Settings]:
    """Settings of a stream that has brought 20 events to every sink."""
    with Receiver() as receiver:
        whole = settings.replace(api_url=SecretStr(receiver.url), forward_group=f"forward-{settings.topics.events}")
        insert(writer, 20)
        for loop in (relay, tally, stage, forward):
            drain(loop.run, whole)
        yield whole


def begin() -> datetime:
    """The hour in which the events came, unless it has just ended."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def look(settings: Settings) -> dict[str, Evidence]:
    """The hour's evidence by sink; where an hour has just begun, of the one before."""
    found = {one.sink: one for one in evidence_of_hour(settings, begin(), 0).sinks}
    if not found["warehouse"].expected:
        found = {one.sink: one for one in evidence_of_hour(settings, begin() - timedelta(hours=1), 0).sinks}
    return found


def test_each_sink_is_held_against_the_source(streamed: Settings, writer: psycopg.Connection[Any]) -> None:
    found = look(streamed)
    assert {sink: one.verdict for sink, one in found.items()} == dict.fromkeys(found, Verdict.COMPLETE)
    assert {sink: one.expected for sink, one in found.items()} == dict.fromkeys(
        ("kafka", "redis", "warehouse", "partner"), 20
    )
    table = DeltaTable(Path(streamed.effective_warehouse_uri) / "engagement_events")
    table.delete("id IN (3, 5)")
    insert(writer, 2)
    drain(relay.run, streamed)
    with redis.Redis.from_url(streamed.redis.url.get_secret_value()) as client:
        client.zincrby(f"{{{streamed.redis.namespace}}}:view:device:count", 1, "ios")
    found = look(streamed)
    assert found["kafka"].verdict is Verdict.COMPLETE
    assert found["kafka"].expected == 22
    assert (found["warehouse"].missing, found["warehouse"].awaited) == (named([3, 5]), named([21, 22]))
    assert found["partner"].awaited == named([21, 22])
    assert found["redis"].verdict is Verdict.BROKEN
    assert "device ios: [21, 20000] in place of [20, 20000]" in found["redis"].note


def test_rows_that_the_relay_has_passed_and_the_topic_has_not_are_missing(
    streamed: Settings, writer: psycopg.Connection[Any]
) -> None:
    """As an operator lets it begin anew behind them."""
    lost = insert(writer, 2)
    reset(streamed, "latest")
    insert(writer, 1)
    drain(relay.run, streamed)
    found = look(streamed)["kafka"]
    assert (found.missing, found.verdict) == (named(lost), Verdict.BROKEN)


def test_in_dagster_an_hour_has_its_figures_and_the_check_is_red_where_something_is_missing(
    streamed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in streamed.given().items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        monkeypatch.setenv(variable(name), text)
    monkeypatch.setattr("engagement_platform.history.evidence.PATIENCE_SECONDS", 0.0)
    key = f"{begin():%Y-%m-%d-%H}:00"

    def outcome() -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
        with dg.DagsterInstance.ephemeral() as instance:
            run = dg.materialize([asset], partition_key=key, instance=instance, selection=[asset])
            assert run.success
            (made,) = run.asset_materializations_for_node(asset.op.name)
            (checked,) = run.get_asset_check_evaluations()
        return {name: value.value for name, value in made.metadata.items()}, checked

    monkeypatch.setattr(
        "engagement_platform.orchestration.evidence.hours_definition",
        lambda stream: dg.HourlyPartitionsDefinition("2026-01-01-00:00", end_offset=1),
    )
    asset = delivery_evidence_of(PACKAGED)
    told, checked = outcome()
    assert (told["verdict"], told["missing"], checked.passed) == ("complete", 0, True)
    assert checked.asset_check_key == dg.AssetCheckKey(evidence_key(PACKAGED), COMPLETE)
    DeltaTable(Path(streamed.effective_warehouse_uri) / "engagement_events").delete("id = 4")
    told, checked = outcome()
    assert (told["verdict"], told["missing"], checked.passed) == ("missing or doubled", 1, False)
    assert checked.severity is dg.AssetCheckSeverity.ERROR
    assert "1 missing (4)" in (checked.description or "")


def test_the_hours_that_dagster_knows_are_of_two_weeks_and_have_ended() -> None:
    hours = hours_definition(PACKAGED.name).get_partition_keys()
    assert 14 * 24 <= len(hours) <= 15 * 24
    assert hours[-1] == f"{begin() - timedelta(hours=1):%Y-%m-%d-%H}:00"
