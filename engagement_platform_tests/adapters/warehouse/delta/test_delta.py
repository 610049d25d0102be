"""What is Delta Lake's own: files of others, a full disk, folders that refuse, and upkeep."""

import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow import parquet

from engagement_platform.adapters.warehouse.delta import upkeep
from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.adapters.warehouse.delta.tables import Storage
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.adapters.warehouse.port import TableUnusable
from engagement_platform.adapters.warehouse.schema import arrow_schema
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.loop_state import Activity, state_of
from engagement_platform_tests.adapters.warehouse.rows import DAY, NEXT_DAY, batch, event, events, reader
from engagement_platform_tests.adapters.warehouse.support import ids, load, replacement
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

_MANY = 20_000
"""Rows whose file is larger than `_ROOM`."""
_ROOM = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "warehouse"


@pytest.fixture
def warehouse(folder: Path) -> DeltaWarehouse:
    opened = DeltaWarehouse(Storage(str(folder)))
    opened.ensure(ENGAGEMENT_EVENTS)
    return opened


def files(folder: Path) -> list[Path]:
    return sorted((folder / ENGAGEMENT_EVENTS.name).rglob("*.parquet"))


@pytest.mark.parametrize("act", [DeltaWarehouse.ensure, DeltaWarehouse.has])
def test_a_folder_that_is_no_table_is_said_and_left_alone(
    folder: Path, act: Callable[[DeltaWarehouse, object], object]
) -> None:
    other = folder / ENGAGEMENT_EVENTS.name / "notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("of somebody else")
    with pytest.raises(TableUnusable, match="is not a Delta table") as raised:
        act(DeltaWarehouse(Storage(str(folder))), ENGAGEMENT_EVENTS)
    assert "ENGAGEMENT_WAREHOUSE_URI" in raised.value.todo
    assert [path.name for path in other.parent.iterdir()] == ["notes.txt"]


def test_a_folder_that_refuses_names_itself() -> None:
    with pytest.raises(TableUnusable, match="/sys/kernel/engagement") as raised:  # where not even root may
        DeltaWarehouse(Storage("/sys/kernel/engagement")).ensure(ENGAGEMENT_EVENTS)
    assert "the right to read and write" in raised.value.todo


def test_what_does_not_answer_names_the_warehouse_as_what_is_waited_for() -> None:
    """By that name the metrics know which server it is, and loops that wait for it share one condition."""
    with pytest.raises(Unavailable) as raised, explained("/data/events", "a load"):
        raise OSError("Connection reset by peer")
    state = state_of(raised.value, 0.0)
    assert (state.kind, state.subject) == (Activity.WAITS, "the warehouse")
    assert "/data/events" in state.reason


def in_little_room(folder: Path, scratch: Path, write: str) -> str:
    """Do `write` in a process none of whose files may grow beyond `_ROOM` bytes; return what it says."""
    program = f"""
        import pathlib, sys
        from engagement_platform.adapters.warehouse.delta.tables import Storage
        from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
        from engagement_platform.domain.errors import Unavailable
        from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
        from engagement_platform_tests.adapters.warehouse.rows import batch, event, events, reader
        from engagement_platform_tests.adapters.warehouse.support import load, replacement

        warehouse = DeltaWarehouse(Storage({str(folder)!r}))
        warehouse.ensure(ENGAGEMENT_EVENTS)
        rows = [event(n, user_id=f"{{n * 7919:036d}}") for n in range({_MANY})]
        try:
            {write}
        except Unavailable as error:
            print(error.what, error.todo)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
        cwd=scratch,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, _ROOM)),
    )
    return done.stdout


def test_a_disk_that_is_full_leaves_the_day_as_it_was(folder: Path, warehouse: DeltaWarehouse, tmp_path: Path) -> None:
    warehouse.append(load(1), batch(tmp_path, events(range(3))))
    said = in_little_room(folder, tmp_path, "warehouse.replace_day(replacement(1), reader(rows))")
    assert "no room left" in said
    assert str(folder) in said
    assert "Make room" in said
    assert ids(warehouse) == [0, 1, 2]
    assert warehouse.replace_day(replacement(1), reader(events(range(7)))) == 7


def test_a_batch_that_met_a_full_disk_is_loaded_once_when_there_is_room(
    folder: Path, warehouse: DeltaWarehouse, tmp_path: Path
) -> None:
    (tmp_path / "batches").mkdir()
    rows = [event(n, user_id=f"{n * 7919:036d}") for n in range(_MANY)]
    path = batch(tmp_path / "batches", rows)
    said = in_little_room(folder, tmp_path, f"warehouse.append(load(1), pathlib.Path({str(path)!r}))")
    assert "no room left" in said
    assert ids(warehouse) == []
    for _ in range(2):
        warehouse.append(load(1), path)
    assert ids(warehouse) == list(range(_MANY))


def test_many_small_files_become_few_and_go_when_nobody_reads_them_any_more(
    folder: Path, warehouse: DeltaWarehouse, tmp_path: Path
) -> None:
    for version in range(20):
        warehouse.append(load(version), batch(tmp_path, [event(version), event(100 + version, NEXT_DAY)]))
    assert len(files(folder)) == 40
    before = DeltaTable(str(folder / ENGAGEMENT_EVENTS.name))

    figures = warehouse.upkeep()
    assert (figures["files_compacted"], figures["files"]) == (40, 2)
    assert pa.table(before.to_pyarrow_dataset().to_table()).num_rows == 40, "a reader of an older version goes on"

    handle = DeltaTable(str(folder / ENGAGEMENT_EVENTS.name))
    assert upkeep.care_for(handle, "here", kept_hours=0)["files_deleted"] == 40
    assert len(files(folder)) == 2 + len(list((folder / ENGAGEMENT_EVENTS.name / "_delta_log").glob("*.parquet")))
    assert ids(warehouse) == [*range(20), *range(100, 120)]


def test_a_day_with_few_files_is_left_alone(warehouse: DeltaWarehouse, tmp_path: Path) -> None:
    for version in range(upkeep.SMALL_FILES - 1):
        warehouse.append(load(version), batch(tmp_path, [event(version, DAY)]))
    assert warehouse.upkeep()["files"] == upkeep.SMALL_FILES - 1


def test_tables_of_others_in_the_folder_are_left_alone(folder: Path, warehouse: DeltaWarehouse) -> None:
    (folder / "notes.txt").touch()
    (folder / "drafts").mkdir()
    warehouse.upkeep()
    assert (folder / "notes.txt").exists()
    assert (folder / "drafts").exists()


def test_a_day_is_written_small_and_in_parts(folder: Path, warehouse: DeltaWarehouse) -> None:
    schema = arrow_schema(ENGAGEMENT_EVENTS)
    row = pa.RecordBatch.from_pylist([event(1)], schema)
    rows = pa.Table.from_batches([row] * 2).take([0] * 150_000).to_reader()
    warehouse.replace_day(replacement(1), rows)
    written = parquet.ParquetFile(next(iter(files(folder)))).metadata
    assert written.row_group(0).column(0).compression == "ZSTD"
    assert max(written.row_group(number).num_rows for number in range(written.num_row_groups)) <= 1 << 17


def test_what_queries_take_is_loaded_by_the_first_query() -> None:
    module = "engagement_platform.adapters.warehouse.delta.warehouse"
    program = f"import sys, {module}; print({{'duckdb', 'sqlglot'}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.strip() == b"set()"
