"""Replacements of a day over BigQuery: they take effect once, in order, or not at all."""

import resource
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from google.api_core.exceptions import Conflict

from engagement_platform.adapters.warehouse.bigquery.jobs import Job, Jobs, config_of
from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform.adapters.warehouse.port import LoadFailed, Overtaken, QueryFailed, Replacement
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import QUICK, BigQueryStore
from engagement_platform_tests.adapters.warehouse.bigquery.test_loads import once
from engagement_platform_tests.adapters.warehouse.contract_replacements import PLAYS, interrupted
from engagement_platform_tests.adapters.warehouse.rows import DAILY, DAY, batch, event, events, reader
from engagement_platform_tests.adapters.warehouse.support import ALL_DAYS, ids, load, replacement
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS


def jobs_sent(stand_in: StandIn) -> int:
    return stand_in.faults.seen["jobs.insert"]


def test_an_answer_that_was_lost_is_looked_up(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    stand_in.faults.dropped["jobs.insert"] = 1
    stand_in.faults.hidden = 2
    assert store.open(replace(QUICK, retries=30)).replace_day(replacement(1), reader(events([1, 2]))) == 2
    assert ids(warehouse) == [1, 2]


def test_an_upload_that_takes_longer_than_a_look_up_may_is_looked_up_again(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    jobs = Jobs(store.client(), store.address, QUICK)
    job_id = jobs.query("SELECT 1", "engagement_taken", config_of(jobs, {})).job_id
    stand_in.faults.hidden = 1
    uploads = iter([QUICK.retries + 0.1, 0])

    def send() -> Job:
        time.sleep(next(uploads))
        raise Conflict("Already Exists")  # type: ignore[no-untyped-call]

    assert jobs.sent(job_id, send, "a load").job_id == job_id


def test_an_outcome_that_was_never_learned_is_learned_later(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    stand_in.faults.dropped["jobs.insert"] = 100
    with pytest.raises(Unavailable):
        warehouse.replace_day(replacement(1), reader(events([1, 2])))
    stand_in.faults.dropped.clear()
    sent = jobs_sent(stand_in)
    assert store.open().replace_day(replacement(1), reader(events([1, 2]))) == 2
    assert store.open().retire(replacement(1))
    assert jobs_sent(stand_in) == sent


def test_one_whose_outcome_is_unknown_is_waited_for_before_the_next(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    held = threading.Event()
    stand_in.faults.held.append(held)
    with pytest.raises(Unavailable, match="has not ended"):
        store.open(replace(QUICK, job=0.05)).replace_day(replacement(1), reader(events([1])))
    with pytest.raises(Unavailable, match="has not ended"):
        store.open(replace(QUICK, job=0.05)).replace_day(replacement(2), reader(events([2])))
    looks = stand_in.faults.seen["jobs.get"]
    releasing = once(lambda: stand_in.faults.seen["jobs.get"] > looks + 3, held.set)
    assert warehouse.replace_day(replacement(2), reader(events([2]))) == 1
    releasing.join()
    assert ids(warehouse) == [2]


def test_one_under_way_is_not_retired_but_waited_for(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    held = threading.Event()
    stand_in.faults.held.append(held)
    with pytest.raises(Unavailable):
        store.open(replace(QUICK, job=0.05)).replace_day(replacement(1), reader(events([1])))
    looks = stand_in.faults.seen["jobs.get"]
    releasing = once(lambda: stand_in.faults.seen["jobs.get"] > looks + 3, held.set)
    assert warehouse.retire(replacement(1))
    releasing.join()
    assert ids(warehouse) == [1]


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_process_that_wakes_up_late_finds_its_turn_taken(
    store: BigQueryStore, warehouse: BigQueryWarehouse, attempt: int
) -> None:
    """It had looked, and found its turn free, before it froze."""
    other = store.open()
    frozen = interrupted(lambda: (other.retire(replacement(1)), other.replace_day(replacement(2), reader(events([8])))))
    with pytest.raises(Overtaken):
        warehouse.replace_day(replace(replacement(1), attempt=attempt), frozen)
    assert ids(warehouse) == [8]


def test_a_retired_one_stays_retired_under_a_higher_attempt(warehouse: BigQueryWarehouse) -> None:
    assert not warehouse.retire(replacement(1))
    with pytest.raises(Overtaken):
        warehouse.replace_day(replace(replacement(1), attempt=1), reader(events([1])))


def test_a_lost_retirement_is_not_repeated(stand_in: StandIn, warehouse: BigQueryWarehouse) -> None:
    stand_in.faults.dropped["jobs.insert"] = 1
    assert not warehouse.retire(replacement(1))
    sent = jobs_sent(stand_in)
    assert not warehouse.retire(replacement(1))
    assert jobs_sent(stand_in) == sent


def test_a_job_that_fails_half_way_leaves_the_day(
    stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    warehouse.append(load(1), batch(tmp_path, events([7])))
    stand_in.faults.failing.append(("backendError", "Backend error. Try again."))
    for _ in range(2):  # the attempt is used up
        with pytest.raises(LoadFailed, match="backendError"):
            warehouse.replace_day(replacement(1), reader(events([1, 2])))
    assert ids(warehouse) == [7]
    assert warehouse.replace_day(replace(replacement(1), attempt=1), reader(events([1, 2]))) == 2
    assert warehouse.replace_day(replacement(1), reader(events([1, 2]))) == 2
    assert ids(warehouse) == [1, 2]


def test_one_that_failed_can_be_retired(stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse) -> None:
    stand_in.faults.failing.append(("backendError", "Backend error. Try again."))
    with pytest.raises(LoadFailed):
        warehouse.replace_day(replacement(1), reader(events([1])))
    assert not store.open().retire(replacement(1))
    with pytest.raises(Overtaken):
        warehouse.replace_day(replace(replacement(1), attempt=1), reader(events([1])))


def test_one_in_effect_is_known_behind_later_ones_without_effect(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    warehouse.replace_day(replacement(1), reader(events([1])))
    assert not warehouse.retire(replacement(2))
    stand_in.faults.failing.append(("backendError", "Backend error. Try again."))
    with pytest.raises(LoadFailed):
        warehouse.replace_day(replacement(3), reader(events([3])))
    assert store.open().retire(replacement(1))
    assert not store.open().retire(replacement(2))


def test_the_last_of_many_turns_is_found_by_few_look_ups(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    for number in range(100):
        warehouse.retire(replacement(number))
    before = stand_in.faults.seen["jobs.get"]
    with pytest.raises(Overtaken):
        store.open().replace_day(replacement(98), reader(events([1])))
    assert stand_in.faults.seen["jobs.get"] - before <= 15
    before = stand_in.faults.seen["jobs.get"]
    warehouse.replace_day(replacement(100), reader(events([1])))
    assert stand_in.faults.seen["jobs.get"] - before <= 8


def test_a_lost_query_has_run_once(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    warehouse.ensure(DAILY)
    warehouse.append(load(1), batch(tmp_path, events([1])))
    stand_in.faults.dropped["jobs.insert"] = 1
    assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY}) == 1
    assert warehouse.query(f"SELECT plays FROM daily_plays WHERE {ALL_DAYS}").to_pylist() == [{"plays": 1}]


@pytest.mark.parametrize("changed", ["plays + 0.5 AS plays", "plays, 1 AS more"])
def test_a_query_of_other_columns_or_types_is_refused(
    warehouse: BigQueryWarehouse, tmp_path: Path, changed: str
) -> None:
    warehouse.ensure(DAILY)
    warehouse.append(load(1), batch(tmp_path, events([1])))
    sql = f"SELECT day, content_id, seconds, mean_pct, {changed} FROM ({PLAYS})"
    with pytest.raises(LoadFailed, match="Provided Schema does not match"):
        warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), sql, {"day": DAY})


def test_a_query_that_cannot_run_says_so_again_and_a_higher_attempt_may(warehouse: BigQueryWarehouse) -> None:
    warehouse.ensure(DAILY)
    for _ in range(2):
        with pytest.raises(QueryFailed):
            warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), "SELEC", {})
    assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1, attempt=1), PLAYS, {"day": DAY}) == 0


@pytest.mark.parametrize("day", [date(1959, 12, 31), date(2160, 1, 1)])
def test_a_day_without_a_partition_of_its_own_is_refused(warehouse: BigQueryWarehouse, day: date) -> None:
    with pytest.raises(EngagementError, match="no partition"):
        warehouse.replace_day(replacement(1, day), reader(events([1], day)))


def test_rows_without_a_required_column_are_refused(stand_in: StandIn, warehouse: BigQueryWarehouse) -> None:
    schema = pa.schema([field.with_nullable(True) for field in arrow_schema(ENGAGEMENT_EVENTS)])
    rows = pa.RecordBatch.from_pylist([event(1, id=None)], schema)
    with pytest.raises(LoadFailed, match="id"):
        warehouse.replace_day(replacement(1), pa.RecordBatchReader.from_batches(schema, [rows]))
    assert jobs_sent(stand_in) == 0


def test_a_large_day_is_written_in_groups_and_nothing_is_left(
    store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    groups = [events(range(begin, begin + 30_000), raw_payload=None) for begin in range(0, 240_000, 30_000)]
    assert warehouse.replace_day(replacement(1), reader(*groups)) == 240_000
    assert warehouse.query(
        "SELECT COUNT(DISTINCT id) AS n FROM engagement_events WHERE DATE(event_ts) = @day", {"day": DAY}
    ).to_pylist() == [{"n": 240_000}]
    assert list(store.scratch.iterdir()) == []


def test_a_full_disk_leaves_the_day(stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse) -> None:
    warehouse.replace_day(replacement(1), reader(events([1])))
    sent, (soft, hard) = jobs_sent(stand_in), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, hard))
    try:
        with pytest.raises(Unavailable, match="no room left") as raised:
            warehouse.replace_day(replacement(2), reader([event(2, title="é" * 9_000)], events(range(3, 400))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.todo
    assert jobs_sent(stand_in) == sent
    assert ids(warehouse) == [1]
    assert list(store.scratch.iterdir()) == []
