"""Dead letters in Dagster, over the real servers."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.definitions import definitions
from engagement_platform.domain.dead_letters import Chosen, DeadLetterState
from engagement_platform.orchestration.dead_letters import dead_letters_by_day_of, dead_letters_key, figures
from engagement_platform.orchestration.evidence import evidence_key
from engagement_platform.orchestration.warehouse.events import warehouse_group
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.dead_letters.support import bury, letter, states
from engagement_platform_tests.streaming import read_all
from engagement_platform_tests.streams import PACKAGED
from engagement_platform_tests.warehouse import write

NOW = datetime.now(UTC)
LETTERS = dead_letters_key(PACKAGED)


def told(instance: dg.DagsterInstance, day: date) -> dict[str, object]:
    """What the latest materialization says; the table as rows."""
    event = instance.get_latest_materialization_event(LETTERS)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == str(day)
    values = dict(event.asset_materialization.metadata)
    table = values.pop("by source, reason and state")
    assert isinstance(table, dg.TableMetadataValue)
    names = ("source", "reason", "state", "letters")
    told: dict[str, object] = {name: value.value for name, value in values.items()}
    return told | {"rows": [tuple(record.data[name] for name in names) for record in table.records]}


@pytest.mark.usefixtures("in_environment")
def test_a_day_s_letters_are_counted_by_source_reason_and_state(
    settings: Settings, source_db: SourceDatabase, instance: dg.DagsterInstance
) -> None:
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 1)
    yesterday = letter(9, at=NOW - timedelta(days=1))
    bury(settings, [letter(1, "stage", reason="not an event", at=NOW), yesterday, *(letter(n, at=NOW) for n in (3, 4))])
    redrive(settings, Chosen(event_ids=[1]), "", "")
    dead_letters = dead_letters_by_day_of(PACKAGED)
    run = dg.materialize([dead_letters], partition_key=str(NOW.date()), instance=instance, selection=[dead_letters])
    assert run.success
    assert told(instance, NOW.date()) == {
        "letters": 3,
        "open": 2,
        "rows": [("forward", "status 422", "open", 2), ("stage", "not an event", "redriven", 1)],
    }


@pytest.mark.usefixtures("in_environment")
def test_the_job_redrives_the_open_letters_of_its_day_and_counts_them_anew(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_API_URL", "http://127.0.0.1:1/")
    bury(settings, [letter(1, at=NOW), letter(2, "tally", at=NOW), letter(3, at=NOW - timedelta(days=1))])
    job = definitions.resolve_job_def("redrive_dead_letters")
    run = job.execute_in_process(partition_key=str(NOW.date()), instance=instance)
    assert run.success
    assert states(settings) == {1: "redriven", 2: "open", 3: "open"}
    assert [record.value for record in read_all(settings, settings.topics.replays)] == [bytes(letter(1).event)]
    assert told(instance, NOW.date())["open"] == 1


def test_the_table_has_the_most_frequent_reasons_only() -> None:
    shown = figures({("stage", f"reason {n}", DeadLetterState.OPEN): n for n in range(300)})
    table = shown["by source, reason and state"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["letters"] for record in table.records] == list(range(299, 199, -1))
    assert shown["letters"] == shown["open"] == sum(range(300))
    empty = figures({})["by source, reason and state"]
    assert isinstance(empty, dg.TableMetadataValue)
    assert not empty.records


def test_backfills_and_jobs_of_the_warehouse_leave_the_letters_alone() -> None:
    graph = definitions.resolve_asset_graph()
    tables = {key for key in graph.executable_asset_keys if graph.get(key).group_name == warehouse_group(PACKAGED)}
    assert graph.executable_asset_keys - tables == {LETTERS, evidence_key(PACKAGED)}
    assert definitions.resolve_job_def("settle_day").asset_layer.executable_asset_keys == tables


@pytest.mark.parametrize(
    ("tick", "days"),
    [
        (datetime(2026, 3, 2, 8, 7, tzinfo=UTC), ["2026-03-02"]),
        (datetime(2026, 3, 2, 0, 7, tzinfo=UTC), ["2026-03-01", "2026-03-02"]),
    ],
)
def test_each_hour_the_days_that_it_touched_are_counted(tick: datetime, days: list[str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        hourly = definitions.resolve_schedule_def("count_dead_letters_hourly")
        asked = hourly(dg.build_schedule_context(instance, tick))
    assert isinstance(asked, list)
    assert [each.partition_key for each in asked] == days
