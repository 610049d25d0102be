"""The contract of columns that come and go: no writer, old or new, loses a row or stops another.

`WIDER` is the table of a form with one column more, in the middle; `NARROWER` of one with a column less.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from engagement_platform.adapters.warehouse.port import Conflict, Replacement, TableUnusable, Warehouse
from engagement_platform.domain.table import Column, Kind, Table
from engagement_platform_tests.adapters.warehouse.contract_replacements import PLAYS, interrupted
from engagement_platform_tests.adapters.warehouse.rows import (
    DAILY,
    DAY,
    NEXT_DAY,
    Row,
    batch,
    event,
    events,
    reader,
    with_columns,
    without_column,
)
from engagement_platform_tests.adapters.warehouse.support import (
    ALL,
    ALL_DAYS,
    EVER,
    Store,
    ids,
    load,
    replacement,
    settled,
)
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

MOOD = Column("mood", Kind.STRING, "How it was.")
WIDER = with_columns(ENGAGEMENT_EVENTS, MOOD, at=3)
NARROWER = without_column(ENGAGEMENT_EVENTS, "device")
MOODS = f"SELECT id, mood FROM engagement_events WHERE {EVER} ORDER BY id"

ADDED: list[tuple[Column, Any, Any]] = [
    (Column("added", Kind.INT64, ""), 1 << 60, 1 << 60),
    (Column("added", Kind.FLOAT64, ""), "0.1", 0.1),
    (Column("added", Kind.STRING, "Text."), "ä", "ä"),
    (Column("added", Kind.BOOL, ""), True, True),
    (Column("added", Kind.BYTES, ""), "AAE=", b"\x00\x01"),
    (Column("added", Kind.NUMERIC, "", precision=38, scale=9), Decimal("0.123456789"), Decimal("0.123456789")),
    (Column("added", Kind.NUMERIC, "", precision=9, scale=0), Decimal(7), Decimal(7)),
    (
        Column("added", Kind.TIMESTAMP, ""),
        datetime(2024, 8, 1, 1, 2, 3, 4, tzinfo=UTC),
        datetime(2024, 8, 1, 1, 2, 3, 4, tzinfo=UTC),
    ),
    (Column("added", Kind.DATE, ""), "2024-02-29", date(2024, 2, 29)),
]


def moody(number: int, mood: str | None = "fine", day: date = DAY) -> Row:
    return event(number, day) | {"mood": mood}


def moods(warehouse: Warehouse) -> dict[int, str | None]:
    return {row["id"]: row["mood"] for row in warehouse.query(MOODS).to_pylist()}


class ColumnContract:
    @pytest.mark.parametrize(("column", "line", "value"), ADDED, ids=[str(added[0].kind) for added in ADDED])
    def test_a_column_of_each_type_is_added(
        self, warehouse: Warehouse, tmp_path: Path, column: Column, line: Any, value: Any
    ) -> None:
        wider = with_columns(ENGAGEMENT_EVENTS, column)
        warehouse.append(load(1), batch(tmp_path, [event(1)]))
        warehouse.append(load(2, table=wider), batch(tmp_path, [event(2) | {"added": line}, event(3)]))
        warehouse.replace_day(
            replacement(1, NEXT_DAY, wider), reader([event(4, NEXT_DAY) | {"added": value}], table=wider)
        )
        rows = warehouse.query(f"SELECT id, added FROM engagement_events WHERE {EVER} ORDER BY id").to_pylist()
        assert [row["added"] for row in rows] == [None, value, None, value]
        assert [type(row["added"]) for row in rows] == [type(of) for of in (None, value, None, value)]

    @pytest.mark.parametrize(
        "come",
        [
            lambda mine, folder: mine.ensure(WIDER),
            lambda mine, folder: mine.append(load(2, table=WIDER), batch(folder, [moody(9)])),
            lambda mine, folder: mine.replace_day(replacement(1, NEXT_DAY, WIDER), reader(table=WIDER)),
        ],
        ids=["ensure", "append", "replace"],
    )
    def test_whoever_comes_first_with_a_column_adds_it(
        self, store: Store, warehouse: Warehouse, tmp_path: Path, come: Callable[[Warehouse, Path], object]
    ) -> None:
        before = warehouse.ensure(ENGAGEMENT_EVENTS)
        warehouse.append(load(1), batch(tmp_path, events([1, 2])))
        mine = store.open()
        mine.ensure(ENGAGEMENT_EVENTS)
        come(mine, tmp_path)
        assert moods(warehouse) | {9: "fine"} == {1: None, 2: None, 9: "fine"}
        assert store.open().ensure(WIDER) == before, "it is the same table"
        assert store.open().ensure(ENGAGEMENT_EVENTS) == before, "for an old process, too"

    def test_a_new_table_has_the_columns_in_the_order_of_the_form(self, store: Store) -> None:
        mine = store.open()
        mine.ensure(WIDER)
        assert mine.query(ALL).column_names == [column.name for column in WIDER.columns]

    def test_looking_adds_nothing(self, store: Store, warehouse: Warehouse) -> None:
        assert warehouse.has(WIDER)
        assert warehouse.query(ALL).column_names == [column.name for column in ENGAGEMENT_EVENTS.columns]

    def test_an_old_writer_goes_on_beside_a_new_one(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        old, new = warehouse, store.open()
        new.ensure(WIDER)
        for version in range(1, 7):
            mine, table = ((old, ENGAGEMENT_EVENTS), (new, WIDER))[version % 2]
            rows = [moody(version) if mine is new else event(version)]
            settled(lambda: mine.append(load(version, table=table), batch(tmp_path, rows)))  # noqa: B023
        assert moods(old) == {number: "fine" if number % 2 else None for number in range(1, 7)}
        settled(lambda: old.replace_day(replacement(1), reader(events([7]))))
        settled(lambda: new.replace_day(replacement(1, NEXT_DAY, WIDER), reader([moody(8, day=NEXT_DAY)], table=WIDER)))
        assert moods(old) == {7: None, 8: "fine"}
        late = store.open()
        late.ensure(ENGAGEMENT_EVENTS)
        late.append(load(7), batch(tmp_path, events([9])))
        assert moods(new) == {7: None, 8: "fine", 9: None}

    def test_a_load_that_was_open_under_the_old_form_is_completed_once(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        """By an old process and by a new one, the lines made under either form."""
        warehouse.append(load(1), batch(tmp_path, events([1])))
        new = store.open()
        new.ensure(WIDER)
        assert not new.is_loaded(load(2, table=WIDER))
        settled(lambda: new.append(load(2, table=WIDER), batch(tmp_path, events([2]))))
        warehouse.append(load(2), batch(tmp_path, events([2])))
        assert warehouse.is_loaded(load(2))
        new.append(load(1, table=WIDER), batch(tmp_path, events([1])))
        assert moods(store.open()) == {1: None, 2: None}

    def test_a_batch_may_have_lines_of_both_forms(self, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1, table=WIDER), batch(tmp_path, [event(1), moody(2), moody(3, None)]))
        assert moods(warehouse) == {1: None, 2: "fine", 3: None}

    def test_a_column_that_goes_stays_as_null(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        mine = store.open()
        mine.ensure(NARROWER)
        without = [{name: value for name, value in event(2).items() if name != "device"}]
        mine.append(load(2, table=NARROWER), batch(tmp_path, without))
        mine.replace_day(
            replacement(1, NEXT_DAY, NARROWER),
            reader([without[0] | {"id": 3, "event_ts": event(3, NEXT_DAY)["event_ts"]}], table=NARROWER),
        )
        devices = mine.query(f"SELECT id, device FROM engagement_events WHERE {EVER} ORDER BY id").to_pylist()
        assert [row["device"] for row in devices] == ["ios", None, None]
        warehouse.append(load(3), batch(tmp_path, events([4])))
        assert warehouse.query(ALL).to_pylist()[-1] == event(4), "and a form that has it again finds it"

    def test_a_column_may_come_in_any_place(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        turned = replace(WIDER, columns=tuple(reversed(WIDER.columns)))
        warehouse.append(load(1), batch(tmp_path, events([1])))
        mine = store.open()
        mine.ensure(turned)
        mine.append(load(2, table=turned), batch(tmp_path, [dict(reversed(list(moody(2).items())))]))
        mine.replace_day(replacement(1, NEXT_DAY, turned), reader([moody(3, day=NEXT_DAY)], table=turned))
        rows = mine.query(ALL).to_pylist()
        assert rows == [moody(1, None), moody(2), moody(3, day=NEXT_DAY)]

    @pytest.mark.parametrize("names", [["mood"] * 4, ["mood", "weather", "mood", "price"]])
    def test_instances_that_add_columns_at_once_agree(
        self, store: Store, warehouse: Warehouse, tmp_path: Path, names: list[str]
    ) -> None:
        warehouse.append(load(1), batch(tmp_path, events([1])))
        barrier = Barrier(len(names))

        def add(name: str) -> str:
            mine = store.open()
            mine.ensure(ENGAGEMENT_EVENTS)
            barrier.wait(30)
            return mine.ensure(with_columns(ENGAGEMENT_EVENTS, replace(MOOD, name=name)))

        with ThreadPoolExecutor(len(names)) as threads:
            assert len(set(threads.map(add, names))) == 1
        rows = store.open().query(ALL).to_pylist()
        assert rows == [event(1) | dict.fromkeys(names)]

    def test_no_row_is_lost_or_doubled_while_columns_come(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        """An old stage and a new one append without pause, a third process adds columns."""
        barrier = Barrier(3)

        def write(writer: str, table: Table, first: int) -> None:
            mine = store.open()
            mine.ensure(ENGAGEMENT_EVENTS)
            folder = tmp_path / writer
            folder.mkdir()
            barrier.wait(30)
            for version in range(1, 9):
                path = batch(folder, [event(first + version)])
                settled(lambda: mine.append(load(version, writer=writer, table=table), path))  # noqa: B023

        def add() -> None:
            mine = store.open()
            mine.ensure(ENGAGEMENT_EVENTS)
            barrier.wait(30)
            for number in range(4):
                mine.ensure(with_columns(ENGAGEMENT_EVENTS, replace(MOOD, name=f"mood_{number}")))

        with ThreadPoolExecutor(3) as threads:
            done = [
                threads.submit(write, "old", ENGAGEMENT_EVENTS, 0),
                threads.submit(write, "new", WIDER, 100),
                threads.submit(add),
            ]
            for one in done:
                one.result(60)
        assert ids(warehouse) == [*range(1, 9), *range(101, 109)]
        names = store.open().query(ALL).column_names
        assert {"mood", "mood_0", "mood_1", "mood_2", "mood_3"} <= set(names)

    @pytest.mark.parametrize(("rebuilt", "staged"), [(ENGAGEMENT_EVENTS, WIDER), (WIDER, ENGAGEMENT_EVENTS)])
    def test_rebuild_and_stage_at_once_with_different_forms(
        self, store: Store, warehouse: Warehouse, tmp_path: Path, rebuilt: Table, staged: Table
    ) -> None:
        live, versions = store.open(), iter(range(1, 100))
        live.ensure(ENGAGEMENT_EVENTS)

        def append() -> None:
            version = next(versions)
            mood = {"mood": "fine"} if staged is WIDER else {}
            row = event(100 + version, NEXT_DAY) | mood
            live.append(load(version, table=staged), batch(tmp_path, [row]))

        def rebuild() -> int:
            return warehouse.replace_day(replacement(1, table=rebuilt), interrupted(append, rebuilt))

        assert settled(rebuild) == 2
        assert ids(warehouse)[:2] == [1, 2]
        assert set(ids(warehouse)[2:]) == {100 + version for version in range(1, next(versions))}

    def test_a_column_that_comes_during_a_rebuild_makes_it_begin_again(
        self, store: Store, warehouse: Warehouse
    ) -> None:
        other = store.open()
        other.ensure(ENGAGEMENT_EVENTS)
        with pytest.raises(Conflict):
            warehouse.replace_day(replacement(1), interrupted(lambda: other.ensure(WIDER)))
        assert ids(warehouse) == []
        assert warehouse.replace_day(replacement(1), interrupted(lambda: None)) == 2
        assert moods(warehouse) == {1: None, 2: None}

    def test_a_column_of_another_type_stops_and_its_remedies_work(
        self, store: Store, warehouse: Warehouse, tmp_path: Path
    ) -> None:
        store.add_column("engagement_events", "score")
        scored = with_columns(ENGAGEMENT_EVENTS, Column("score", Kind.INT64, "How good."))
        path = batch(tmp_path, [event(1) | {"score": 7}])
        for act in (
            lambda: store.open().ensure(scored),
            lambda: store.open().has(scored),
            lambda: warehouse.append(load(1, table=scored), path),
            lambda: warehouse.replace_day(replacement(1, table=scored), reader(table=scored)),
        ):
            with pytest.raises(TableUnusable, match="column score is") as told:
                act()
            assert "another name, with AS in enriched.sql" in told.value.todo
            assert "engagement-platform backfill" in told.value.todo
        assert ids(warehouse) == []
        renamed = with_columns(ENGAGEMENT_EVENTS, Column("score_2", Kind.INT64, "How good."))
        warehouse.append(load(1, table=renamed), batch(tmp_path, [event(1) | {"score_2": 7}]))
        assert warehouse.query(ALL).to_pylist() == [event(1) | {"score": None, "score_2": 7}]
        store.drop("engagement_events")
        anew = store.open()
        anew.ensure(scored)
        anew.append(load(1, table=scored), path)
        assert anew.query(ALL).to_pylist() == [event(1) | {"score": 7}]

    def test_names_that_differ_in_their_case_alone_stop(self, store: Store, warehouse: Warehouse) -> None:
        shouted = with_columns(ENGAGEMENT_EVENTS, Column("DEVICE", Kind.STRING, ""))
        with pytest.raises(TableUnusable, match=r"column device is there, whose name .* not tell from DEVICE"):
            store.open().ensure(shouted)
        assert store.open().query(ALL).column_names == [column.name for column in ENGAGEMENT_EVENTS.columns]

    def test_marts_keep_working_whatever_comes(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        """A column comes to what they read, and to their own table: from a newer process, or from before."""
        warehouse.ensure(DAILY)
        warehouse.append(load(1, table=WIDER), batch(tmp_path, [event(1), moody(2)]))
        store.open().ensure(with_columns(DAILY, Column("wet", Kind.BOOL, ""), Column("rain", Kind.NUMERIC, "")))
        daily = store.open()
        daily.ensure(DAILY)
        assert daily.replace_day_by_query(Replacement(DAILY, DAY, 1), PLAYS, {"day": DAY}) == 1
        found = daily.query(f"SELECT plays, wet, rain FROM daily_plays WHERE {ALL_DAYS}").to_pylist()
        assert found == [{"plays": 2, "wet": None, "rain": None}]
        wider = with_columns(DAILY, Column("moody", Kind.INT64, "Plays with a mood."))
        sql = PLAYS.replace("AS plays,", "AS plays, COUNT(mood) AS moody,")
        assert daily.replace_day_by_query(Replacement(wider, DAY, 2), sql, {"day": DAY}) == 1
        found = daily.query(f"SELECT plays, moody, wet FROM daily_plays WHERE {ALL_DAYS}").to_pylist()
        assert found == [{"plays": 2, "moody": 1, "wet": None}]
        assert daily.replace_day_by_query(Replacement(DAILY, DAY, 3), PLAYS, {"day": DAY}) == 1

    def test_upkeep_takes_rows_of_every_form(self, store: Store, warehouse: Warehouse, tmp_path: Path) -> None:
        for version in range(1, 21):
            table = WIDER if version > 10 else ENGAGEMENT_EVENTS
            rows = [moody(version) if version > 10 else event(version)]
            warehouse.append(load(version, table=table), batch(tmp_path, rows))
        warehouse.upkeep()
        assert moods(store.open()) == {number: "fine" if number > 10 else None for number in range(1, 21)}
        warehouse.append(load(21), batch(tmp_path, events([21])))
        warehouse.upkeep()
        assert len(ids(store.open())) == 21
