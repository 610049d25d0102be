"""The contract of tables and of live loads: `ensure`, `append`, `is_loaded`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from engagement_platform.adapters.warehouse.port import Load, LoadFailed, NumberTaken, TableUnusable, Warehouse
from engagement_platform.domain.table import Column, Kind
from engagement_platform_tests.adapters.warehouse.rows import (
    DAILY,
    NEXT_DAY,
    batch,
    event,
    events,
    with_columns,
    without_values,
)
from engagement_platform_tests.adapters.warehouse.support import ALL, Store, ids, load, settled
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

RACES = 6


class TableContract:
    def test_every_instance_sees_the_same_identity(self, store: Store, warehouse: Warehouse) -> None:
        assert warehouse.ensure(ENGAGEMENT_EVENTS) == store.open().ensure(ENGAGEMENT_EVENTS)

    def test_two_tables_have_two_identities(self, warehouse: Warehouse) -> None:
        assert warehouse.ensure(ENGAGEMENT_EVENTS) != warehouse.ensure(DAILY)

    def test_a_table_made_anew_has_another_identity(self, store: Store, warehouse: Warehouse) -> None:
        before = warehouse.ensure(ENGAGEMENT_EVENTS)
        store.drop("engagement_events")
        assert store.open().ensure(ENGAGEMENT_EVENTS) != before

    def test_instances_that_create_at_once_agree(self, store: Store) -> None:
        barrier = Barrier(4)

        def create(_: int) -> str:
            mine = store.open()
            barrier.wait()
            return mine.ensure(DAILY)

        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(create, range(4)))) == 1

    def test_looking_at_a_table_does_not_make_it(self, store: Store, warehouse: Warehouse) -> None:
        assert not warehouse.has(DAILY)
        assert not warehouse.has(DAILY)
        warehouse.ensure(DAILY)
        assert store.open().has(DAILY)

    def test_looking_at_an_altered_table_names_the_column(self, store: Store, warehouse: Warehouse) -> None:
        store.retype_column("engagement_events", "duration_ms")
        with pytest.raises(TableUnusable, match="duration_ms"):
            store.open().has(ENGAGEMENT_EVENTS)

    def test_a_required_column_that_is_missing_is_named(self, store: Store, warehouse: Warehouse) -> None:
        store.drop_column("engagement_events", "id")
        with pytest.raises(TableUnusable, match="column id is missing") as raised:
            store.open().ensure(ENGAGEMENT_EVENTS)
        assert raised.value.todo

    def test_a_changed_type_is_named(self, store: Store, warehouse: Warehouse) -> None:
        store.retype_column("engagement_events", "duration_ms")
        with pytest.raises(TableUnusable, match="duration_ms"):
            store.open().ensure(ENGAGEMENT_EVENTS)

    def test_what_ensure_refused_stays_as_it_was(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events(range(3))))
        store.add_column("engagement_events", "mood")
        with pytest.raises(TableUnusable):
            store.open().ensure(with_columns(ENGAGEMENT_EVENTS, Column("mood", Kind.INT64, "")))
        assert ids(store.open()) == [0, 1, 2]


EDGES: list[dict[str, Any]] = [
    {"engagement_seconds": Decimal("0.01"), "engagement_pct": Decimal("0.00")},
    {"engagement_seconds": Decimal("-21474836.48"), "engagement_pct": Decimal("-21474836.48")},
    {"engagement_seconds": Decimal("2147483.65"), "engagement_pct": Decimal("2147483.65")},
    {"engagement_seconds": Decimal("0.07"), "engagement_pct": Decimal("0.29")},
    {"engagement_seconds": Decimal("9007199254740993.01")},
    {"duration_ms": -(1 << 31), "length_seconds": (1 << 31) - 1, "id": (1 << 63) - 1},
    {"title": "حلقة عن القهوة ☕️ 👩‍🚀", "slug": 'line\nbreak\tand "quotes" and \\ and \''},
    {"title": "", "raw_payload": '"2024-08-01T00:00:00Z"'},
    {"raw_payload": '{"blob": "' + "x" * 900_000 + '"}'},
    {"event_ts": datetime(1, 1, 1, tzinfo=UTC)},
    {"event_ts": datetime(1582, 10, 10, 23, 59, 59, 999999, tzinfo=UTC)},
    {"event_ts": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"event_ts": datetime(1970, 1, 1, tzinfo=UTC)},
    {"event_ts": datetime(2024, 8, 1, 12, 0, 0, 100000, tzinfo=UTC)},
    {"event_ts": datetime(2099, 1, 1, 0, 0, 0, 1, tzinfo=UTC)},
    {"event_ts": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
]


class LoadContract:
    def test_rows_can_be_queried_once_append_returns(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events(range(5))))
        assert ids(store.open()) == [0, 1, 2, 3, 4]

    def test_a_batch_may_touch_several_days(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, [event(1), event(2, NEXT_DAY), event(3)]))
        assert ids(warehouse) == [1, 2, 3]

    def test_values_come_out_as_they_went_in(self, warehouse: Warehouse, tmp_path: Path) -> None:
        rows = [event(number) | edge for number, edge in enumerate(EDGES)] + [without_values(99)]
        warehouse.append(load(1), batch(tmp_path, rows))
        assert warehouse.query(ALL).to_pylist() == sorted(rows, key=lambda row: int(row["id"]))

    def test_the_same_load_takes_effect_once(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        path = batch(tmp_path, events(range(3)))
        warehouse.append(load(1), path)
        warehouse.append(load(1), path)
        store_again = store.open()
        store_again.ensure(ENGAGEMENT_EVENTS)
        store_again.append(load(1), path)
        assert ids(warehouse) == [0, 1, 2]

    def test_an_older_load_takes_effect_once(self, warehouse: Warehouse, tmp_path: Path) -> None:
        first, second = batch(tmp_path, events([1])), batch(tmp_path, events([2]))
        warehouse.append(load(1), first)
        warehouse.append(load(2), second)
        warehouse.append(load(1), first)
        assert ids(warehouse) == [1, 2]
        assert warehouse.is_loaded(load(1))

    def test_a_load_is_known_once_it_is_done(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        assert not warehouse.is_loaded(load(1))
        warehouse.append(load(1), batch(tmp_path, events([1])))
        assert store.open().is_loaded(load(1))
        assert not store.open().is_loaded(load(2))

    def test_another_load_under_a_number_that_is_taken_stops_the_stage(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        for version in (1, 2):
            warehouse.append(load(version), batch(tmp_path, events([version])))
        for version in (1, 2):
            other = replace(load(version), id="cut-after-the-database-was-emptied")
            with pytest.raises(NumberTaken, match="older than the table"):
                store.open().append(other, batch(tmp_path, events([1, 2])))
            with pytest.raises(NumberTaken):
                store.open().is_loaded(other)
        assert ids(warehouse) == [1, 2]

    def test_each_writer_counts_for_itself(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1, writer="one"), batch(tmp_path, events([1])))
        assert not warehouse.is_loaded(load(1, writer="two"))
        warehouse.append(load(1, writer="two"), batch(tmp_path, events([2])))
        assert ids(warehouse) == [1, 2]

    def test_a_batch_without_rows_is_done_too(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, []))
        assert warehouse.is_loaded(load(1))
        assert ids(warehouse) == []

    @pytest.mark.parametrize(
        "bad",
        [{"id": "seven"}, {"event_ts": None}, {"event_ts": "yesterday"}, {"duration_ms": 1.5}, {"mood": "good"}],
        ids=str,
    )
    def test_a_row_that_does_not_fit_refuses_the_batch(
        self, warehouse: Warehouse, tmp_path: Path, bad: dict[str, Any]
    ) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        with pytest.raises(LoadFailed) as raised:
            warehouse.append(load(2), batch(tmp_path, [event(2), event(3) | bad, event(4)]))
        assert raised.value.rows
        assert ids(warehouse) == [1]

    def test_a_higher_attempt_succeeds_where_one_was_refused(self, warehouse: Warehouse, tmp_path: Path) -> None:
        with pytest.raises(LoadFailed):
            warehouse.append(load(1), batch(tmp_path, [event(1, event_ts=None)]))
        assert not warehouse.is_loaded(load(1, attempt=1))
        warehouse.append(load(1, attempt=1), batch(tmp_path, events([1])))
        assert warehouse.is_loaded(load(1, attempt=1))
        assert ids(warehouse) == [1]

    def test_of_two_that_send_the_same_load_at_once_one_takes_effect(self, store: Store, tmp_path: Path) -> None:
        store.open().ensure(ENGAGEMENT_EVENTS)
        for version in range(1, RACES + 1):
            path, barrier = batch(tmp_path, events(range(version * 10, version * 10 + 10))), Barrier(3)

            with ThreadPoolExecutor(3) as threads:
                for sent in [threads.submit(self._send, store, barrier, load(version), path) for _ in range(3)]:
                    sent.result()
        assert ids(store.open()) == list(range(10, RACES * 10 + 10))

    def _send(self, store: Store, barrier: Barrier, one: Load, path: Path) -> None:
        mine = store.open()
        mine.ensure(ENGAGEMENT_EVENTS)
        barrier.wait()
        settled(lambda: mine.append(one, path))

    def test_writers_side_by_side_lose_nothing(self, store: Store, tmp_path: Path) -> None:
        store.open().ensure(ENGAGEMENT_EVENTS)
        paths = {number: batch(tmp_path, events([number])) for number in range(2 * RACES)}

        def write(writer: int) -> None:
            mine = store.open()
            mine.ensure(ENGAGEMENT_EVENTS)
            for version in range(RACES):
                settled(partial(mine.append, load(version, writer=f"w{writer}"), paths[writer * RACES + version]))

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(write, range(2)))
        assert ids(store.open()) == list(range(2 * RACES))
