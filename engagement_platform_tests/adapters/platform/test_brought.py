"""By what the warehouse has an event, as the notes of loads and rebuilds tell."""

from datetime import UTC, date, datetime, timedelta

from engagement_platform.adapters.platform.brought import Brought
from engagement_platform.adapters.platform.loads import LoadRow, Loads, offsets_of_stage
from engagement_platform.adapters.platform.rebuilds import Rebuilds
from engagement_platform.domain.coverage import Coverage
from engagement_platform.settings import Settings

DAY = date(2026, 3, 1)
TOPIC = "topic"
SINCE = datetime.now(UTC) - timedelta(hours=1)


def load(settings: Settings, table: str, begin: int, end: int) -> None:
    row = LoadRow(table, "stage", begin, f"load-{begin}", TOPIC, {0: (begin, end)}, {0: end}, (DAY,), end - begin)
    with Loads.opened(settings, "test") as loads:
        with loads.admission(table, [DAY]) as admission:
            assert admission.open(row)
        loads.close_load(row)


def rebuild(settings: Settings, table: str, *, is_done: bool = True) -> int:
    with Rebuilds.opened(settings, "test") as rebuilds:
        begun = rebuilds.begin(table, DAY, f"run of {table}")
        assert begun is not None
        if is_done:
            rebuilds.cover(begun.number, Coverage(9))
            assert rebuilds.finish(begun.number, 1)
        return begun.number


def test_the_load_and_the_rebuild_that_have_an_event_are_told(migrated: Settings) -> None:
    with Brought.opened(migrated, "test") as brought:
        assert (brought.load_with(TOPIC, 0, 5, SINCE), brought.next_offset(TOPIC, 0)) == (None, None)
    load(migrated, "delta:1", 0, 5)
    load(migrated, "delta:1", 5, 8)
    number = rebuild(migrated, "delta:1")
    with Brought.opened(migrated, "test") as brought:
        one, day = brought.load_with(TOPIC, 0, 5, SINCE), brought.of_day(DAY, 7)
        assert one is not None
        assert one.load_id == "load-5"
        assert (brought.load_with(TOPIC, 0, 8, SINCE), brought.next_offset(TOPIC, 0)) == (None, 8)
        assert day.rebuilt is not None
        assert (day.rebuilt.number, day.rebuilt.covers, day.is_open) == (number, True, False)


def test_a_table_made_anew_has_nothing_of_the_one_before_it(migrated: Settings) -> None:
    load(migrated, "delta:1", 0, 8)
    rebuild(migrated, "delta:1")
    rebuild(migrated, "delta:1", is_done=False)
    load(migrated, "delta:2", 20, 21)
    with Brought.opened(migrated, "test") as brought:
        assert (brought.load_with(TOPIC, 0, 5, SINCE), brought.next_offset(TOPIC, 0)) == (None, 21)
        day = brought.of_day(DAY, 7)
        assert (day.rebuilt, day.is_open) == (None, False)
    rebuild(migrated, "delta:3")
    assert offsets_of_stage(migrated, TOPIC) == {}, "its stage begins at the beginning"
    load(migrated, "delta:3", 0, 5)
    assert offsets_of_stage(migrated, TOPIC) == {0: 5}
