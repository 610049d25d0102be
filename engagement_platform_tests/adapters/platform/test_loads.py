"""The rows that live loads and rebuilds agree on, in a real database."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.duplicates import WalPosition
from engagement_platform.domain.ids import IdRange
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
TABLE = "delta:1"


@pytest.fixture
def loads(settings: Settings) -> Iterator[Loads]:
    ensure_schema(settings)
    with Loads.opened(settings, "test") as made:
        yield made


@pytest.fixture
def rebuilds(loads: Loads) -> Rebuilds:
    return Rebuilds(loads.session)


@pytest.fixture
def due_days(loads: Loads) -> DueDays:
    return DueDays(loads.session)


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


def rebuild(rebuilds: Rebuilds, day: date = DAY, run_id: str = "run") -> int:
    row = rebuilds.begin(TABLE, day, run_id)
    assert row is not None
    return row.number


def test_a_load_is_open_until_it_is_closed(loads: Loads) -> None:
    assert loads.last_load(TABLE) is None
    assert enter(loads, a_load())
    (found,) = loads.open_loads(TABLE)
    assert found.ranges == a_load().ranges
    assert found.next_offsets == a_load().next_offsets
    assert found.closed_at is None
    loads.close_load(found)
    assert loads.open_loads(TABLE) == []
    last = loads.last_load(TABLE)
    assert last is not None
    assert last.closed_at is not None


def test_places_in_a_publishers_log_stand_beside_a_load_and_go_with_it(loads: Loads) -> None:
    begins, ends = {0: WalPosition(1, 2, 3, 4, 5)}, {0: WalPosition(1, 3, 4, 5, 6), 11: WalPosition(1, 2, 3, 9, 5)}
    assert enter(loads, a_load(rows=0))
    assert enter(loads, replace(a_load(2, rows=0), wal_begins=begins, wal_ends=ends))
    last = loads.last_load(TABLE)
    assert last is not None
    assert (last.wal_begins, last.wal_ends) == (begins, ends)
    assert enter(loads, a_load(3))
    (of_older_version,) = loads.open_loads(TABLE)
    assert (of_older_version.wal_begins, of_older_version.wal_ends) == ({}, {})
    loads.session.execute("UPDATE engagement_platform.warehouse_load SET closed_at = now() - interval '9 hours'")
    loads.prune(1)
    assert loads.session.all("SELECT version FROM engagement_platform.warehouse_load_wal") == []


def test_a_column_that_a_later_version_has_added_is_passed_over(loads: Loads) -> None:
    assert enter(loads, a_load())
    loads.session.execute("ALTER TABLE engagement_platform.warehouse_load ADD COLUMN later text DEFAULT 'later'")
    assert [load.load_id for load in loads.open_loads(TABLE)] == ["stage_1"]
    last = loads.last_load(TABLE)
    assert last is not None
    assert last.load_id == "stage_1"


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


def test_a_batch_sees_the_open_rebuilds_of_its_days_only(loads: Loads, rebuilds: Rebuilds) -> None:
    number = rebuild(rebuilds, NEXT)
    with loads.admission(TABLE, [DAY]) as admission:
        assert admission.rebuilds == []
    with loads.admission(TABLE, [DAY, NEXT]) as admission:
        assert [found.number for found in admission.rebuilds] == [number]


def test_coverage_comes_into_force_when_the_rebuild_is_done(rebuilds: Rebuilds, loads: Loads) -> None:
    """Stored before, it is kept back: else the rows of a day whose rebuild died would be lost."""
    coverage = Coverage(90, (IdRange(7, 8), IdRange(50, 50)))
    number = rebuild(rebuilds)
    assert rebuilds.cover(number, coverage)
    assert rebuilds.get(number).coverage == coverage
    assert rebuilds.coverages(TABLE, [DAY]) == {}
    assert rebuilds.finish(number, 5)
    assert rebuilds.coverages(TABLE, [DAY, NEXT]) == {DAY: coverage}
    with loads.admission(TABLE, [DAY]) as admission:
        assert admission.coverages == {DAY: coverage}


def test_the_coverage_of_an_abandoned_rebuild_never_counts(rebuilds: Rebuilds) -> None:
    first = rebuild(rebuilds)
    rebuilds.cover(first, Coverage(10))
    rebuilds.finish(first, 1)
    second = rebuild(rebuilds)
    assert second > first
    rebuilds.cover(second, Coverage(20))
    assert rebuilds.abandon(second)
    assert rebuilds.coverages(TABLE, [DAY]) == {DAY: Coverage(10)}


def test_a_closed_rebuild_can_neither_be_covered_nor_finished(rebuilds: Rebuilds) -> None:
    """What a frozen process finds when it wakes up after others have settled its rebuild."""
    number = rebuild(rebuilds)
    rebuilds.abandon(number)
    assert not rebuilds.cover(number, Coverage(1))
    assert not rebuilds.finish(number, 1)
    assert not rebuilds.abandon(number)


def test_one_rebuild_of_a_day_is_open_at_a_time(rebuilds: Rebuilds) -> None:
    rebuild(rebuilds)
    assert rebuilds.begin(TABLE, DAY, "another") is None
    assert rebuilds.begin(TABLE, NEXT, "another") is not None


def test_a_rebuild_is_not_entered_while_a_batch_is_being_admitted(loads: Loads, settings: Settings) -> None:
    """A batch that has looked for rebuilds, and is not entered yet, would else load into a day being read."""
    entered = threading.Event()

    def enter_rebuild() -> None:
        with Rebuilds.opened(settings, "rebuild") as others:
            rebuild(others)
        entered.set()

    thread = threading.Thread(target=enter_rebuild)
    with loads.admission(TABLE, [DAY]) as admission:
        thread.start()
        with Loads.opened(settings, "test-locks") as third:
            wait_for(lambda: _waiters(third) == 1, "the rebuild to wait for the lock")
        assert not entered.is_set()
        assert admission.open(a_load())
    thread.join(10)
    assert entered.is_set()
    assert [load.version for load in loads.open_loads(TABLE, [DAY])] == [1]


def _waiters(loads: Loads) -> int:
    with loads.session.connected() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_silence_is_the_time_since_the_last_sign_of_life(rebuilds: Rebuilds, loads: Loads) -> None:
    number = rebuild(rebuilds)
    with loads.session.connected() as connection:
        connection.execute("UPDATE engagement_platform.day_rebuild SET beat_at = now() - interval '1 minute'")
    assert rebuilds.get(number).silent_seconds > 59
    rebuilds.beat([number])
    assert rebuilds.get(number).silent_seconds < 30


def test_days_are_due_until_they_are_rebuilt(due_days: DueDays, rebuilds: Rebuilds) -> None:
    due_days.note(TABLE, [DAY, NEXT], "expired")
    first, _ = due_days.all()
    due_days.note(TABLE, [DAY], "again")
    again, other = due_days.all()
    assert [(due.day, due.reason) for due in (again, other)] == [(DAY, "again"), (NEXT, "expired")]
    assert again.since > first.since
    rebuilds.finish(rebuild(rebuilds), 0)
    assert [due.day for due in due_days.all()] == [NEXT]


def test_a_day_that_becomes_due_during_its_rebuild_stays_due(due_days: DueDays, rebuilds: Rebuilds) -> None:
    due_days.note(TABLE, [DAY], "expired")
    number = rebuild(rebuilds)
    due_days.note(TABLE, [DAY], "again")
    rebuilds.finish(number, 0)
    assert [due.day for due in due_days.all()] == [DAY]


def test_days_that_got_rows_lately(loads: Loads) -> None:
    for version, days, rows in ((1, (DAY,), 3), (2, (NEXT,), 0), (3, (DAY, NEXT), 1)):
        enter(loads, replace(a_load(version), days=days, rows=rows))
    for load in loads.open_loads(TABLE):
        loads.close_load(load)
    assert loads.days_loaded(1, before=NEXT) == [DAY]
    assert loads.days_loaded(1, before=NEXT + timedelta(days=1)) == [DAY, NEXT]
    assert loads.days_loaded(0, before=NEXT) == []


def test_what_was_seen_of_ids_that_will_be_given_out_again_is_forgotten(rebuilds: Rebuilds) -> None:
    for day, coverage in ((DAY, Coverage(10, (IdRange(3, 4),))), (NEXT, Coverage(5))):
        number = rebuild(rebuilds, day)
        rebuilds.cover(number, coverage)
        rebuilds.finish(number, 1)
    rebuilds.uncover(7)
    assert rebuilds.coverages(TABLE, [DAY, NEXT]) == {
        DAY: Coverage(7, (IdRange(3, 4),)),
        NEXT: Coverage(5),
    }


def test_numbers_grow(rebuilds: Rebuilds) -> None:
    assert rebuild(rebuilds) < rebuilds.next_number() < rebuild(rebuilds, NEXT)


def test_pruning_keeps_what_is_needed_to_go_on(rebuilds: Rebuilds, loads: Loads) -> None:
    for version in (1, 2, 3):
        enter(loads, a_load(version))
    for load in loads.open_loads(TABLE)[1:]:
        loads.close_load(load)
    numbers = [rebuild(rebuilds, day) for day in (DAY, NEXT)]
    for number in numbers:
        rebuilds.finish(number, 1)
    newer = rebuild(rebuilds)
    rebuilds.finish(newer, 1)
    with loads.session.connected() as connection:
        for table in ("warehouse_load", "day_rebuild"):
            connection.execute(f"UPDATE engagement_platform.{table} SET closed_at = closed_at - interval '3 days'")
    loads.prune(48)
    rebuilds.prune(48)
    with loads.session.connected() as connection:
        kept = [row[0] for row in connection.execute("SELECT version FROM engagement_platform.warehouse_load")]
        numbers_kept = [row[0] for row in connection.execute("SELECT number FROM engagement_platform.day_rebuild")]
    assert sorted(kept) == [1, 3]  # open, and the last
    assert sorted(numbers_kept) == [numbers[1], newer]


def test_a_batch_of_very_many_days_fits_the_server_s_room_for_locks(loads: Loads) -> None:
    days = [DAY + timedelta(days=n) for n in range(20_000)]
    with loads.admission(TABLE, days) as admission:
        assert admission.rebuilds == []
