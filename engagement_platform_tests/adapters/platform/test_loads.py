"""The rows that live loads and rebuilds agree on, in a real database."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest

from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.ids import IdRange
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
TABLE = "delta:1"


@pytest.fixture
def loads(settings: Settings) -> Iterator[Loads]:
    ensure_schema(settings)
    with closing(Loads(settings, "test")) as made:
        yield made


def a_load(version: int = 1, *days: date, rows: int = 3) -> LoadRow:
    return LoadRow(
        table_id=TABLE,
        writer="stage",
        version=version,
        load_id=f"stage_{version}",
        topic_id="t",
        ranges={0: (10 * version, 10 * version + 9), 11: (0, 1)},
        next_offsets={0: 10 * version + 10, 11: 1, 2: 0},
        days=days or (DAY,),
        rows=rows,
        lowest_id=1,
        highest_id=5,
    )


def enter(loads: Loads, load: LoadRow) -> bool:
    with loads.admission(load.table_id, load.days) as admission:
        return admission.open(load)


def rebuild(loads: Loads, day: date = DAY, run_id: str = "run") -> int:
    row = loads.open_rebuild(TABLE, day, run_id)
    assert row is not None
    return row.number


def test_a_load_is_open_until_it_is_closed(loads: Loads) -> None:
    assert loads.last_load(TABLE, "stage") is None
    assert enter(loads, a_load())
    (found,) = loads.open_loads(TABLE)
    assert found.ranges == a_load().ranges
    assert found.next_offsets == a_load().next_offsets
    assert found.closed_at is None
    loads.close_load(found)
    assert loads.open_loads(TABLE) == []
    last = loads.last_load(TABLE, "stage")
    assert last is not None
    assert last.closed_at is not None


def test_a_load_without_rows_is_closed_from_the_start(loads: Loads) -> None:
    enter(loads, a_load(rows=0))
    assert loads.open_loads(TABLE) == []


def test_of_two_stages_one_enters_a_version(loads: Loads) -> None:
    assert enter(loads, a_load())
    assert not enter(loads, a_load())


def test_loads_of_a_day_and_of_a_table_are_told_apart(loads: Loads) -> None:
    enter(loads, a_load(1, DAY, NEXT))
    enter(loads, a_load(2, NEXT))
    assert [load.version for load in loads.open_loads(TABLE, [DAY])] == [1]
    assert [load.version for load in loads.open_loads(TABLE, [NEXT])] == [1, 2]
    assert loads.open_loads("delta:2") == []


def test_an_attempt_is_used_up_once(loads: Loads) -> None:
    enter(loads, a_load())
    (found,) = loads.open_loads(TABLE)
    loads.raise_attempt(found)
    loads.raise_attempt(found)
    assert loads.open_loads(TABLE)[0].attempt == 1


def test_a_batch_sees_the_open_rebuilds_of_its_days_only(loads: Loads) -> None:
    number = rebuild(loads, NEXT)
    with loads.admission(TABLE, [DAY]) as admission:
        assert admission.rebuilds == []
    with loads.admission(TABLE, [DAY, NEXT]) as admission:
        assert [found.number for found in admission.rebuilds] == [number]


def test_coverage_comes_into_force_when_the_rebuild_is_done(loads: Loads) -> None:
    """Stored before, it is kept back: else the rows of a day whose rebuild died would be lost."""
    coverage = Coverage(90, (IdRange(7, 8), IdRange(50, 50)))
    number = rebuild(loads)
    assert loads.cover(number, coverage)
    assert loads.rebuild(number).coverage == coverage
    assert loads.coverages(TABLE, [DAY]) == {}
    assert loads.finish_rebuild(number, 5)
    assert loads.coverages(TABLE, [DAY, NEXT]) == {DAY: coverage}
    with loads.admission(TABLE, [DAY]) as admission:
        assert admission.coverages == {DAY: coverage}


def test_the_coverage_of_an_abandoned_rebuild_never_counts(loads: Loads) -> None:
    first = rebuild(loads)
    loads.cover(first, Coverage(10))
    loads.finish_rebuild(first, 1)
    second = rebuild(loads)
    assert second > first
    loads.cover(second, Coverage(20))
    assert loads.abandon_rebuild(second)
    assert loads.coverages(TABLE, [DAY]) == {DAY: Coverage(10)}


def test_a_closed_rebuild_can_neither_be_covered_nor_finished(loads: Loads) -> None:
    """What a frozen process finds when it wakes up after others have settled its rebuild."""
    number = rebuild(loads)
    loads.abandon_rebuild(number)
    assert not loads.cover(number, Coverage(1))
    assert not loads.finish_rebuild(number, 1)
    assert not loads.abandon_rebuild(number)


def test_one_rebuild_of_a_day_is_open_at_a_time(loads: Loads) -> None:
    rebuild(loads)
    assert loads.open_rebuild(TABLE, DAY, "another") is None
    assert loads.open_rebuild(TABLE, NEXT, "another") is not None


def test_a_rebuild_is_not_entered_while_a_batch_is_being_admitted(loads: Loads, settings: Settings) -> None:
    """A batch that has looked for rebuilds, and is not entered yet, would else load into a day being read."""
    entered = threading.Event()

    def enter_rebuild() -> None:
        with closing(Loads(settings, "rebuild")) as others:
            rebuild(others)
        entered.set()

    thread = threading.Thread(target=enter_rebuild)
    with loads.admission(TABLE, [DAY]) as admission:
        thread.start()
        with closing(Loads(settings, "test-locks")) as third:
            wait_for(lambda: _waiters(third) == 1, "the rebuild to wait for the lock")
        assert not entered.is_set()
        assert admission.open(a_load())
    thread.join(10)
    assert entered.is_set()
    assert [load.version for load in loads.open_loads(TABLE, [DAY])] == [1]


def _waiters(loads: Loads) -> int:
    with loads._connected() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_silence_is_the_time_since_the_last_sign_of_life(loads: Loads) -> None:
    number = rebuild(loads)
    with loads._connected() as connection:
        connection.execute("UPDATE engagement_platform.day_rebuild SET beat_at = now() - interval '1 minute'")
    assert loads.rebuild(number).silent_seconds > 59
    loads.beat([number])
    assert loads.rebuild(number).silent_seconds < 30


def test_days_are_due_until_they_are_rebuilt(loads: Loads) -> None:
    loads.note_due(TABLE, [DAY, NEXT], "expired")
    first, _ = loads.days_due()
    loads.note_due(TABLE, [DAY], "again")
    again, other = loads.days_due()
    assert [(due.day, due.reason) for due in (again, other)] == [(DAY, "again"), (NEXT, "expired")]
    assert again.since > first.since
    loads.finish_rebuild(rebuild(loads), 0)
    assert [due.day for due in loads.days_due()] == [NEXT]


def test_a_day_that_becomes_due_during_its_rebuild_stays_due(loads: Loads) -> None:
    loads.note_due(TABLE, [DAY], "expired")
    number = rebuild(loads)
    loads.note_due(TABLE, [DAY], "again")
    loads.finish_rebuild(number, 0)
    assert [due.day for due in loads.days_due()] == [DAY]


def test_days_that_got_rows_lately(loads: Loads) -> None:
    for version, days, rows in ((1, (DAY,), 3), (2, (NEXT,), 0), (3, (DAY, NEXT), 1)):
        enter(loads, replace(a_load(version), days=days, rows=rows))
    for load in loads.open_loads(TABLE):
        loads.close_load(load)
    assert loads.days_loaded(1, before=NEXT) == [DAY]
    assert loads.days_loaded(1, before=NEXT + timedelta(days=1)) == [DAY, NEXT]
    assert loads.days_loaded(0, before=NEXT) == []


def test_what_was_seen_of_ids_that_will_be_given_out_again_is_forgotten(loads: Loads) -> None:
    for day, coverage in ((DAY, Coverage(10, (IdRange(3, 4),))), (NEXT, Coverage(5))):
        number = rebuild(loads, day)
        loads.cover(number, coverage)
        loads.finish_rebuild(number, 1)
    loads.uncover(7)
    assert loads.coverages(TABLE, [DAY, NEXT]) == {DAY: Coverage(7, (IdRange(3, 4),)), NEXT: Coverage(5)}


def test_numbers_grow(loads: Loads) -> None:
    assert rebuild(loads) < loads.next_number() < rebuild(loads, NEXT)


def test_pruning_keeps_what_is_needed_to_go_on(loads: Loads) -> None:
    for version in (1, 2, 3):
        enter(loads, a_load(version))
    for load in loads.open_loads(TABLE)[1:]:
        loads.close_load(load)
    numbers = [rebuild(loads, day) for day in (DAY, NEXT)]
    for number in numbers:
        loads.finish_rebuild(number, 1)
    newer = rebuild(loads)
    loads.finish_rebuild(newer, 1)
    with loads._connected() as connection:
        for table in ("warehouse_load", "day_rebuild"):
            connection.execute(f"UPDATE engagement_platform.{table} SET closed_at = closed_at - interval '3 days'")
    loads.prune(48)
    with loads._connected() as connection:
        kept = [row[0] for row in connection.execute("SELECT version FROM engagement_platform.warehouse_load")]
        rebuilds = [row[0] for row in connection.execute("SELECT number FROM engagement_platform.day_rebuild")]
    assert sorted(kept) == [1, 3]  # open, and the last
    assert sorted(rebuilds) == [numbers[1], newer]


def test_a_batch_of_very_many_days_fits_the_server_s_room_for_locks(loads: Loads) -> None:
    days = [DAY + timedelta(days=n) for n in range(20_000)]
    with loads.admission(TABLE, days) as admission:
        assert admission.rebuilds == []
