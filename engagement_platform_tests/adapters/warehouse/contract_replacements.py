"""The contract of days that are replaced: `replace_day`, `replace_day_by_query`, `retire`."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest

from engagement_platform.adapters.warehouse.port import (
    Conflict,
    LoadFailed,
    Overtaken,
    QueryFailed,
    Replacement,
    Warehouse,
)
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.table import Table
from engagement_platform_tests.adapters.warehouse.rows import (
    DAILY,
    DAY,
    NEXT_DAY,
    batch,
    event,
    events,
    reader,
    without_values,
)
from engagement_platform_tests.adapters.warehouse.support import ALL, ALL_DAYS, Store, ids, load, replacement, settled
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

PLAYS = (
    "SELECT @day AS day, content_id, COUNTIF(event_type = 'play') AS plays, SUM(engagement_seconds) AS seconds, "
    "CAST(AVG(engagement_pct) AS FLOAT64) AS mean_pct FROM engagement_events "
    "WHERE event_ts >= TIMESTAMP(@day) AND event_ts < TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY) "
    "GROUP BY content_id"
)


class SourceBroke(Exception):
    pass


def interrupted(act: Callable[[], object], table: Table = ENGAGEMENT_EVENTS) -> pa.RecordBatchReader:
    """Return rows 1 and 2 of DAY; `act` is done between them, as by another process while this one is at it."""
    schema = arrow_schema(table)

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([event(1)], schema)
        act()
        yield pa.RecordBatch.from_pylist([event(2)], schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


class ReplacementContract:
    def test_a_day_is_replaced_and_no_other(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events(range(5)) + events([10, 11], NEXT_DAY)))
        assert warehouse.replace_day(replacement(1), reader(events([3, 4]), events([5]))) == 3
        assert ids(store.open()) == [3, 4, 5, 10, 11]

    def test_values_of_a_replaced_day_come_out_as_they_went_in(self, warehouse: Warehouse) -> None:
        rows = [event(1, title="حلقة ☕️", engagement_seconds=Decimal("-21474836.48")), without_values(2)]
        warehouse.replace_day(replacement(1), reader(rows))
        assert warehouse.query(ALL).to_pylist() == rows

    def test_the_same_replacement_takes_effect_once(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        assert warehouse.replace_day(replacement(1), reader(events([1, 2]))) == 2
        warehouse.append(load(1), batch(tmp_path, events([3])))
        again = store.open()
        again.ensure(ENGAGEMENT_EVENTS)
        again.replace_day(replacement(1), reader(events([1, 2])))
        assert ids(warehouse) == [1, 2, 3]

    def test_a_lower_number_comes_too_late(self, store: Store, warehouse: Warehouse) -> None:
        warehouse.replace_day(replacement(5), reader(events([1])))
        late = store.open()
        late.ensure(ENGAGEMENT_EVENTS)
        with pytest.raises(Overtaken):
            late.replace_day(replacement(4), reader(events([2])))
        assert ids(warehouse) == [1]

    def test_numbers_are_counted_for_each_day(self, warehouse: Warehouse) -> None:
        warehouse.replace_day(replacement(5), reader(events([1])))
        assert warehouse.replace_day(replacement(4, NEXT_DAY), reader(events([2], NEXT_DAY))) == 1
        assert ids(warehouse) == [1, 2]

    def test_a_higher_number_replaces_again(self, warehouse: Warehouse) -> None:
        warehouse.replace_day(replacement(1), reader(events([1, 2])))
        assert warehouse.replace_day(replacement(2), reader(events([2, 3]))) == 2
        assert ids(warehouse) == [2, 3]

    def test_without_a_row_the_day_is_empty(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events(range(5)) + events([10], NEXT_DAY)))
        assert warehouse.replace_day(replacement(1), reader()) == 0
        assert ids(warehouse) == [10]

    def test_an_empty_day_may_be_replaced_by_nothing(self, warehouse: Warehouse) -> None:
        assert warehouse.replace_day(replacement(1), reader()) == 0
        assert warehouse.retire(replacement(1))

    @pytest.mark.parametrize("other", [DAY - timedelta(days=1), NEXT_DAY])
    def test_a_row_of_another_day_refuses_all(self, warehouse: Warehouse, tmp_path: Path, other: object) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        with pytest.raises(LoadFailed):
            warehouse.replace_day(replacement(1), reader(events([2, 3]), [event(4), event(5, other)]))  # type: ignore[arg-type]
        assert ids(warehouse) == [1]
        assert not warehouse.retire(replacement(1))

    def test_a_required_column_without_value_refuses_all(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        with pytest.raises(LoadFailed):
            warehouse.replace_day(replacement(1), reader([event(2), event(3, id=None)]))
        assert ids(warehouse) == [1]

    def test_rows_that_break_off_change_nothing(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events([7])))

        def break_off() -> None:
            raise SourceBroke

        with pytest.raises(SourceBroke):
            warehouse.replace_day(replacement(1), interrupted(break_off))
        assert ids(warehouse) == [7]
        assert warehouse.replace_day(replace(replacement(1), attempt=1), reader(events([8]))) == 1
        assert ids(warehouse) == [8]

    def test_live_loads_of_other_days_go_on(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        live, versions = store.open(), iter(range(1, 100))
        live.ensure(ENGAGEMENT_EVENTS)

        def append() -> None:
            version = next(versions)
            live.append(load(version), batch(tmp_path, events([100 + version], NEXT_DAY)))

        settled(lambda: warehouse.replace_day(replacement(1), interrupted(append)))
        loaded = next(versions)
        assert ids(warehouse) == [1, 2, *range(101, 100 + loaded)]

    def test_a_load_that_was_in_the_day_is_not_loaded_again(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        stale, path = store.open(), batch(tmp_path, events([1, 2]))
        stale.ensure(ENGAGEMENT_EVENTS)
        stale.append(load(1), path)
        warehouse.replace_day(replacement(1), reader(events([1, 2, 3])))
        settled(lambda: stale.append(load(1), path))
        settled(lambda: stale.append(load(2), batch(tmp_path, events([4]))))
        assert ids(warehouse) == [1, 2, 3, 4]

    def test_one_that_was_overtaken_half_way_has_no_effect(self, store: Store, warehouse: Warehouse) -> None:
        faster = store.open()
        faster.ensure(ENGAGEMENT_EVENTS)
        overtake = interrupted(lambda: faster.replace_day(replacement(2), reader(events([8, 9]))))
        with pytest.raises((Conflict, Overtaken)):
            warehouse.replace_day(replacement(1), overtake)
        assert ids(warehouse) == [8, 9]
        with pytest.raises(Overtaken):
            warehouse.replace_day(replacement(1), reader(events([1])))

    def test_days_side_by_side_all_take_effect(self, store: Store) -> None:
        store.open().ensure(ENGAGEMENT_EVENTS)
        days, barrier = [DAY + timedelta(days=n) for n in range(4)], Barrier(4)

        def rebuild(number: int) -> int:
            mine, day = store.open(), days[number]
            mine.ensure(ENGAGEMENT_EVENTS)
            barrier.wait()
            return settled(lambda: mine.replace_day(replacement(number, day), reader(events([number], day))))

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(rebuild, range(4))) == [1, 1, 1, 1]
        assert ids(store.open()) == [0, 1, 2, 3]

    def test_a_table_whose_day_is_a_date(self, warehouse: Warehouse) -> None:
        warehouse.ensure(DAILY)
        row = {"day": DAY, "content_id": "c", "plays": 3, "seconds": Decimal("1.50"), "mean_pct": 0.25}
        other = row | {"day": NEXT_DAY, "plays": None}
        assert warehouse.replace_day(Replacement(DAILY, DAY, 1), reader([row], table=DAILY)) == 1
        assert warehouse.replace_day(Replacement(DAILY, NEXT_DAY, 2), reader([other], table=DAILY)) == 1
        assert warehouse.query(f"SELECT * FROM daily_plays WHERE {ALL_DAYS} ORDER BY day").to_pylist() == [row, other]
        with pytest.raises(LoadFailed):
            warehouse.replace_day(Replacement(DAILY, DAY, 3), reader([other], table=DAILY))


class QueriedReplacementContract:
    def test_a_day_is_replaced_by_the_answer(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.ensure(DAILY)
        rows = [*events([1, 2]), event(3, event_type="pause"), event(4, content_id="other"), event(5, NEXT_DAY)]
        warehouse.append(load(1), batch(tmp_path, rows))
        assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY}) == 2
        content = rows[0]["content_id"]
        assert store.open().query(f"SELECT * FROM daily_plays WHERE {ALL_DAYS} ORDER BY plays").to_pylist() == [
            {"day": DAY, "content_id": "other", "plays": 1, "seconds": Decimal("1.01"), "mean_pct": 0.1},
            {"day": DAY, "content_id": content, "plays": 2, "seconds": Decimal("3.03"), "mean_pct": 0.1},
        ]

    def test_numbers_count_as_elsewhere(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.ensure(DAILY)
        warehouse.append(load(1), batch(tmp_path, events([1])))
        assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 2), PLAYS, {"day": DAY}) == 1
        assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 2), PLAYS, {"day": DAY}) == 1
        with pytest.raises(Overtaken):
            warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY})

    def test_an_answer_without_rows_empties_the_day(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.ensure(DAILY)
        warehouse.append(load(1), batch(tmp_path, events([1])))
        warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY})
        warehouse.replace_day(replacement(1), reader())
        assert warehouse.replace_day_by_query(Replacement(DAILY, DAY, 2), PLAYS, {"day": DAY}) == 0
        assert warehouse.query(f"SELECT * FROM daily_plays WHERE {ALL_DAYS}").num_rows == 0

    def test_an_answer_of_another_day_is_refused(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.ensure(DAILY)
        warehouse.append(load(1), batch(tmp_path, [event(1), event(2, NEXT_DAY)]))
        warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY})
        with pytest.raises(LoadFailed):
            warehouse.replace_day_by_query(Replacement(DAILY, DAY, 2), PLAYS, {"day": NEXT_DAY})
        assert warehouse.query(f"SELECT day FROM daily_plays WHERE {ALL_DAYS}").to_pylist() == [{"day": DAY}]

    @pytest.mark.parametrize("sql", ["SELECT nothing FROM engagement_events", "SELEC", "SELECT 1 AS one"])
    def test_a_query_that_fails_changes_nothing(self, warehouse: Warehouse, tmp_path: Path, sql: str) -> None:
        warehouse.ensure(DAILY)
        warehouse.append(load(1), batch(tmp_path, events([1])))
        warehouse.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY})
        with pytest.raises((QueryFailed, LoadFailed)):
            warehouse.replace_day_by_query(Replacement(DAILY, DAY, 2), sql, {})
        assert warehouse.query(f"SELECT plays FROM daily_plays WHERE {ALL_DAYS}").to_pylist() == [{"plays": 1}]


class RetirementContract:
    def test_one_that_took_effect_cannot_be_retired(self, store: Store, warehouse: Warehouse) -> None:
        warehouse.replace_day(replacement(1), reader(events([1])))
        assert store.open().retire(replacement(1))
        assert ids(warehouse) == [1]

    def test_one_that_was_retired_never_takes_effect(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        other = store.open()
        other.ensure(ENGAGEMENT_EVENTS)
        assert not other.retire(replacement(3))
        assert not other.retire(replacement(3))
        with pytest.raises(Overtaken):
            warehouse.replace_day(replacement(3), reader(events([2])))
        assert ids(warehouse) == [1]

    def test_one_that_is_retired_half_way_has_no_effect(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        warehouse.append(load(1), batch(tmp_path, events([7])))
        other = store.open()
        other.ensure(ENGAGEMENT_EVENTS)
        retired: list[bool] = []
        with pytest.raises((Conflict, Overtaken)):
            warehouse.replace_day(replacement(1), interrupted(lambda: retired.append(other.retire(replacement(1)))))
        assert retired == [False]
        assert ids(warehouse) == [7]
        with pytest.raises(Overtaken):
            warehouse.replace_day(replacement(1), reader(events([1])))

    def test_the_next_number_is_free(self, warehouse: Warehouse) -> None:
        assert not warehouse.retire(replacement(1))
        assert warehouse.replace_day(replacement(2), reader(events([2]))) == 1
        assert ids(warehouse) == [2]

    def test_other_days_are_not_retired(self, warehouse: Warehouse) -> None:
        assert not warehouse.retire(replacement(1))
        assert warehouse.replace_day(replacement(1, NEXT_DAY), reader(events([2], NEXT_DAY))) == 1
        assert ids(warehouse) == [2]
