"""Columns that come to a table of BigQuery while something goes wrong there, or a job is under way."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engagement_platform.adapters.warehouse.bigquery.warehouse import BigQueryWarehouse
from engagement_platform.adapters.warehouse.port import Conflict, LoadFailed, Replacement
from engagement_platform.domain.errors import Refused, Unavailable
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.bigquery.support import BigQueryStore
from engagement_platform_tests.adapters.warehouse.bigquery.test_loads import once
from engagement_platform_tests.adapters.warehouse.contract_columns import WIDER, moods, moody
from engagement_platform_tests.adapters.warehouse.contract_replacements import PLAYS
from engagement_platform_tests.adapters.warehouse.rows import DAILY, DAY, batch, event, events, reader, with_columns
from engagement_platform_tests.adapters.warehouse.support import ids, load, replacement, settled


def meanwhile(stand_in: StandIn, act: Callable[[], object]) -> threading.Thread:
    """Hold the next job; do something as soon as it is looked at, and let it run."""
    held = threading.Event()
    stand_in.faults.held.append(held)
    looks = stand_in.faults.seen["jobs.get"]

    def release() -> None:
        act()
        held.set()

    return once(lambda: not stand_in.faults.held and stand_in.faults.seen["jobs.get"] > looks, release)


def test_a_change_whose_answer_was_lost_is_made_once(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    stand_in.faults.dropped["tables.patch"] = 1
    warehouse.ensure(WIDER)
    assert [field.name for field in store.table().schema].count("mood") == 1


@pytest.mark.parametrize(
    ("reason", "error"), [("rateLimitExceeded", Unavailable), ("accessDenied", Refused), ("backendError", Unavailable)]
)
def test_a_change_that_is_refused_stops_before_anything_is_sent(
    stand_in: StandIn, warehouse: BigQueryWarehouse, tmp_path: Path, reason: str, error: type[Exception]
) -> None:
    """Five changes of a table in ten seconds are Google's limit."""
    sent, path = stand_in.faults.seen["jobs.insert"], batch(tmp_path, [moody(1)])
    stand_in.faults.refused["tables.patch"] = (reason, "Exceeded rate limits: too many table update operations")
    with pytest.raises(error):
        warehouse.append(load(1, table=WIDER), path)
    assert stand_in.faults.seen["jobs.insert"] == sent
    stand_in.faults.refused.clear()
    warehouse.append(load(1, table=WIDER), path)
    assert moods(warehouse) == {1: "fine"}


def test_a_column_that_comes_while_a_load_is_under_way_changes_nothing(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    adding = meanwhile(stand_in, lambda: store.open().ensure(WIDER))
    warehouse.append(load(1), batch(tmp_path, events([1])))
    adding.join()
    assert moods(warehouse) == {1: None}


def test_a_column_that_comes_while_a_replacement_is_under_way_makes_it_begin_again(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse
) -> None:
    for added in (WIDER, with_columns(WIDER, replace(WIDER.column("mood"), name="weather"))):
        adding = meanwhile(stand_in, lambda: store.open().ensure(added))  # noqa: B023
        with pytest.raises(Conflict, match="other columns meanwhile"):
            warehouse.replace_day(replacement(1), reader([event(1)]))
        adding.join()
        assert ids(warehouse) == []
    assert warehouse.replace_day(replacement(1), reader([event(1)])) == 1
    assert warehouse.replace_day(replacement(1), reader([event(1)])) == 1, "and it is known by its number"
    assert moods(warehouse) == {1: None}


def test_one_that_comes_while_a_mart_is_made_makes_that_begin_again(
    stand_in: StandIn, store: BigQueryStore, warehouse: BigQueryWarehouse, tmp_path: Path
) -> None:
    warehouse.ensure(DAILY)
    warehouse.append(load(1), batch(tmp_path, events([1, 2])))
    wet = with_columns(DAILY, WIDER.column("mood"))
    adding = meanwhile(stand_in, lambda: store.open().ensure(wet))
    assert settled(lambda: warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY})) == 1
    adding.join()


def test_a_job_that_fails_for_another_reason_is_no_conflict(stand_in: StandIn, warehouse: BigQueryWarehouse) -> None:
    stand_in.faults.failing.append(("invalid", "no"))
    for _ in range(2):
        with pytest.raises(LoadFailed):
            warehouse.replace_day(replacement(1), reader([event(1)]))
