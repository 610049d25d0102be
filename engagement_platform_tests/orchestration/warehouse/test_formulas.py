"""Days that another formula has made are known from Dagster's materializations, whatever the stream adds to them."""

from contextlib import nullcontext
from datetime import date

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCauseCategory
from dagster._core.loader import LoadingContextForTest

from engagement_platform.cli import group
from engagement_platform.console import backfills
from engagement_platform.console import stale as stale_tables
from engagement_platform.orchestration.private import latest_tags
from engagement_platform.orchestration.warehouse.formulas import (
    CODE_VERSION,
    FILLED_BY,
    stale_days,
    tags_to_carry,
    with_downstream,
)
from engagement_platform.settings import load

DAYS = dg.DailyPartitionsDefinition(start_date="2026-03-01")
KEY = dg.AssetKey(["warehouse", "orders"])


def asset(version: str) -> dg.AssetsDefinition:
    @dg.asset(key=KEY, partitions_def=DAYS, code_version=version)
    def made() -> None:
        pass

    return made


def rebuild(instance: dg.DagsterInstance, version: str, *days: str) -> None:
    for day in days:
        assert dg.materialize([asset(version)], instance=instance, partition_key=day).success


def report(instance: dg.DagsterInstance, version: str, day: str) -> None:
    """Report what the stream has added, as the sensor does."""
    tags = tags_to_carry(latest_tags(instance, KEY, [day]).get(day, {}), version)
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=day, tags=tags))


def stale(instance: dg.DagsterInstance, version: str) -> list[str]:
    return [str(day) for days in stale_days(instance, [*asset(version).specs]).values() for day in days]


@pytest.mark.slow
def test_days_of_another_formula_are_stale_until_they_are_rebuilt() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(instance, "old", "2026-03-01", "2026-03-02", "2026-03-03")
        assert stale(instance, "old") == []
        assert stale(instance, "new") == ["2026-03-01", "2026-03-02", "2026-03-03"]
        rebuild(instance, "new", "2026-03-02")
        assert stale(instance, "new") == ["2026-03-01", "2026-03-03"]
        report(instance, "new", "2026-03-01")  # late events of a day that the old formula has made
        report(instance, "new", "2026-03-02")
        assert stale(instance, "new") == ["2026-03-01", "2026-03-03"]
        rebuild(instance, "new", "2026-03-01", "2026-03-03")
        assert stale(instance, "new") == []


def test_a_day_that_only_the_stream_has_filled_is_of_the_formula_with_which_it_began() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "old", "2026-03-04")
        report(instance, "new", "2026-03-04")
        assert stale(instance, "new") == ["2026-03-04"]
        assert stale(instance, "old") == []


def test_a_day_that_dagster_does_not_know_any_more_is_left_alone() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "old", "2020-01-01")
        assert stale(instance, "new") == []


def test_what_makes_dagster_compare_is_carried_on_and_nothing_else() -> None:
    tags = {
        CODE_VERSION: "a",
        "dagster/input_data_version/postgres/orders": "b",
        "dagster/data_version": "c",
        "engagement/other": "d",
    }
    assert tags_to_carry(tags, "z") == {CODE_VERSION: "a", "dagster/input_data_version/postgres/orders": "b"}
    assert tags_to_carry({}, "z") == {FILLED_BY: "z"}
    assert tags_to_carry({FILLED_BY: "y"}, "z") == {FILLED_BY: "y"}


def test_an_asset_without_a_formula_has_no_stale_day() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert stale_days(instance, [dg.AssetSpec("kafka", code_version=None)]) == {}
        assert latest_tags(instance, KEY) == {}
        assert stale_days(instance, [*asset("a").specs]) == {}


def shown_stale(instance: dg.DagsterInstance, version: str) -> list[str]:
    """The days that the UI shows as stale because of their code."""
    graph = dg.Definitions(assets=[asset(version)]).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return [
        day
        for day in sorted(instance.get_materialized_partitions(KEY))
        if any(cause.category is StaleCauseCategory.CODE for cause in resolver.get_stale_causes(KEY, day))
    ]


@pytest.mark.slow
def test_the_ui_shows_the_same_days_also_after_the_stream_has_added_to_them() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        rebuild(instance, "old", "2026-03-01", "2026-03-02")
        rebuild(instance, "new", "2026-03-02")
        report(instance, "new", "2026-03-01")
        report(instance, "new", "2026-03-02")
        report(instance, "new", "2026-03-03")
        assert shown_stale(instance, "new") == stale(instance, "new") == ["2026-03-01"]
        assert shown_stale(instance, "old") == ["2026-03-02"]


def test_one_command_names_the_stale_days_of_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE", "PLATFORM"):
        monkeypatch.setenv(f"ENGAGEMENT_{name}_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(stale_tables, "instance", lambda: nullcontext(instance))
        dry_run = ["backfill", "--stale", "--dry-run"]
        assert "No day is stale" in CliRunner().invoke(group, dry_run).output
        for table, day in (("engagement_events", "2026-03-01"), ("hourly_engagement", "2026-03-03")):
            key = dg.AssetKey(["warehouse", table])
            made = dg.AssetMaterialization(key, partition=day, tags={CODE_VERSION: "old"})
            instance.report_runless_asset_event(made)
        assert stale_tables.stale_tables_of(load()) == {
            "engagement_events": [date(2026, 3, 1)],
            "hourly_engagement": [date(2026, 3, 3)],
        }
        assert CliRunner().invoke(group, dry_run).output == "2 days, 2026-03-01 to 2026-03-03.\n"


@pytest.mark.parametrize(
    ("stale_table", "tables"),
    [
        ("hourly_engagement", {"hourly_engagement"}),
        (
            "engagement_events",
            {"engagement_events", "hourly_engagement", "daily_content_engagement", "daily_device_engagement"},
        ),
    ],
)
def test_only_the_stale_tables_and_what_is_made_from_them_are_rebuilt(
    monkeypatch: pytest.MonkeyPatch, stale_table: str, tables: set[str]
) -> None:
    for name in ("SOURCE", "PLATFORM"):
        monkeypatch.setenv(f"ENGAGEMENT_{name}_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    launched = list[tuple[set[str], list[date]]]()

    def launch(_: object, assets: list[dg.AssetKey], days: list[date], *_why: object, **_tags: object) -> str:
        launched.append(({key.path[-1] for key in assets}, days))
        return "launched"

    with dg.DagsterInstance.ephemeral() as instance:
        for module in (backfills, stale_tables):
            monkeypatch.setattr(module, "instance", lambda: nullcontext(instance))
        monkeypatch.setattr(backfills, "launch", launch)
        monkeypatch.setattr(backfills, "obstacles", lambda *_: [])
        key = dg.AssetKey(["warehouse", stale_table])
        made = dg.AssetMaterialization(key, partition="2026-03-01", tags={CODE_VERSION: "old"})
        instance.report_runless_asset_event(made)
        done = CliRunner().invoke(group, ["backfill", "--stale", "--detach"])
        assert done.exit_code == 0, (done.output, done.exception)
    assert launched == [(tables, [date(2026, 3, 1)])]


def test_what_is_made_from_a_table_is_found_over_any_number_of_steps() -> None:
    one, two, three, other = (dg.AssetKey(name) for name in ("one", "two", "three", "other"))
    specs = [dg.AssetSpec(three, deps=[two]), dg.AssetSpec(two, deps=[one]), dg.AssetSpec(one), dg.AssetSpec(other)]
    assert with_downstream(specs, [one]) == [three, two, one]
    assert with_downstream(specs, [two]) == [three, two]
    assert with_downstream(specs, []) == []
