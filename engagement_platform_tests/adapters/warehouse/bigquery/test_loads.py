"""Live loads over BigQuery: whatever gets lost on the way, a batch is in the table once."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform.adapters.warehouse.port import LoadFailed, TableUnusable
from engagement_platform.domain.errors import Unavailable
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import QUICK, BigQueryStore
from engagement_platform_tests.adapters.warehouse.rows import NEXT_DAY, batch, event, events
from engagement_platform_tests.adapters.warehouse.support import ids, load
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

HUGE = 6 << 20
"""More bytes than Google's client sends in one request."""


def once(happened: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
    """Do something, in another thread, as soon as something has happened."""

    def watch() -> None:
        deadline = time.monotonic() + 10
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_an_answer_that_was_lost_is_looked_up(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.faults.dropped["jobs.insert"] = 1
    warehouse.append(load(1), batch(tmp_path, events([1, 2])))
    assert stand_in.faults.seen["jobs.insert"] == 2
    assert stand_in.faults.seen["jobs.get"] == 1
    assert ids(warehouse) == [1, 2]


def test_a_look_up_that_is_behind_is_waited_for(stand_in: StandIn, store: BigQueryStore, tmp_path: Path) -> None:
    patient = store.open(replace(QUICK, retries=30))
    patient.ensure(ENGAGEMENT_EVENTS)
    stand_in.faults.dropped["jobs.insert"] = 1
    stand_in.faults.hidden = 3
    patient.append(load(1), batch(tmp_path, events([1])))
    assert stand_in.faults.hidden == 0
    assert ids(patient) == [1]


def test_an_outcome_that_was_never_learned_is_learned_later(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    path = batch(tmp_path, events([1]))
    stand_in.faults.dropped["jobs.insert"] = 100
    with pytest.raises(Unavailable) as raised:
        warehouse.append(load(1), path)
    assert raised.value.todo
    stand_in.faults.dropped.clear()
    other = store.open()
    assert other.is_loaded(load(1))
    other.append(load(1), path)
    assert ids(warehouse) == [1]


@pytest.mark.parametrize("lost", ["jobs.insert", "uploads.begin"])
def test_a_large_batch_is_loaded_once(
    stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path, lost: str
) -> None:
    path = batch(tmp_path, [event(number, raw_payload="x" * (HUGE // 8)) for number in range(10)])
    assert path.stat().st_size > HUGE
    stand_in.faults.dropped[lost] = 1
    warehouse.append(load(1), path)
    assert stand_in.faults.dropped[lost] == 0
    assert ids(warehouse) == list(range(10))


def test_a_job_under_way_is_waited_for(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    held = threading.Event()
    stand_in.faults.held.append(held)
    releasing = once(lambda: stand_in.faults.seen["jobs.get"] >= 3, held.set)
    warehouse.append(load(1), batch(tmp_path, events([1])))
    releasing.join()
    assert ids(warehouse) == [1]


def test_a_job_that_takes_too_long_goes_on(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    held, path = threading.Event(), batch(tmp_path, events([1]))
    stand_in.faults.held.append(held)
    hasty = store.open(replace(QUICK, job=0.05))
    with pytest.raises(Unavailable, match="has not ended"):
        hasty.append(load(1), path)
    with pytest.raises(Unavailable, match="has not ended"):
        hasty.is_loaded(load(1))
    held.set()
    assert warehouse.is_loaded(load(1))
    hasty.append(load(1), path)
    assert ids(warehouse) == [1]


def test_a_job_that_fails_half_way_leaves_nothing(
    stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    path = batch(tmp_path, events(range(10)))
    stand_in.faults.failing.append(("backendError", "Backend error. Try again."))
    for _ in range(2):  # the id is used up
        with pytest.raises(LoadFailed, match="backendError") as raised:
            warehouse.append(load(1), path)
        assert raised.value.rows == ()
    assert not warehouse.is_loaded(load(1))
    assert ids(warehouse) == []
    warehouse.append(load(1, attempt=1), path)
    assert ids(warehouse) == list(range(10))


def test_errors_are_told_row_by_row(warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    rows = [event(number) if number % 2 else event(number, duration_ms="long") for number in range(60)]
    with pytest.raises(LoadFailed) as raised:
        warehouse.append(load(1), batch(tmp_path, rows))
    told = raised.value.rows
    assert [one.split(":")[0] for one in told] == [f"line {number}" for number in range(1, 41, 2)]
    assert all("duration_ms" in one and "long" in one for one in told)
    assert ids(warehouse) == []


def test_a_quota_that_is_used_up_is_waited_for(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.quotas.limits.modifications_of_table = 3
    warehouse.append(load(1), batch(tmp_path, [event(1), event(2, NEXT_DAY)]))
    with pytest.raises(LoadFailed):
        warehouse.append(load(2), batch(tmp_path, [event(3, event_ts=None)]))
    path = batch(tmp_path, events([4]))
    with pytest.raises(Unavailable, match="uota exceeded") as raised:
        warehouse.append(load(3), path)
    assert "ENGAGEMENT_STAGE_SECONDS" in raised.value.todo
    stand_in.quotas.today = lambda: NEXT_DAY
    warehouse.append(load(3), path)
    assert ids(warehouse) == [1, 2, 4]


def test_a_table_made_anew_has_none_of_the_old_loads(
    store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    path = batch(tmp_path, events([1]))
    warehouse.append(load(1), path)
    store.drop(ENGAGEMENT_EVENTS.name)
    with pytest.raises(TableUnusable):
        warehouse.append(load(1), path)
    anew = store.open()
    anew.ensure(ENGAGEMENT_EVENTS)
    with pytest.raises(TableUnusable, match="made anew"):
        warehouse.append(load(2), path)
    assert not anew.is_loaded(load(1))
    anew.append(load(1), path)
    assert ids(anew) == [1]


def test_nothing_stays_in_the_state_folder(store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    warehouse.append(load(1), batch(tmp_path, [event(1, id=(1 << 62) + 1)]))
    assert ids(warehouse) == [(1 << 62) + 1]
    assert list(store.scratch.iterdir()) == []


def test_a_batch_that_is_gone(warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        warehouse.append(load(1), tmp_path / "gone.ndjson")


def test_a_server_that_fails_for_a_moment(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.faults.refused_once["jobs.insert"] = [("backendError", "Try again.")]
    warehouse.append(load(1), batch(tmp_path, events([1])))
    assert ids(warehouse) == [1]


def test_a_server_that_is_down(stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path) -> None:
    stand_in.faults.refused["tables.get"] = ("backendError", "Try again.")
    with pytest.raises(Unavailable, match="Try again"):
        warehouse.append(load(1), batch(tmp_path, events([1])))
