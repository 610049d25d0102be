"""That reading a table does not stop the process, and what DuckDB leaves out is left out still."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.fs import DeltaStorageHandler

from engagement_platform.adapters.warehouse.delta.queries import files_of


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    for begin in (0, 100, 200):
        rows = {"id": list(range(begin, begin + 100)), "day": [begin] * 100}
        write_deltalake(tmp_path / "table", pa.table(rows), mode="append", partition_by=["day"])
    return DeltaTable(tmp_path / "table")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened, in order."""
    names: list[str] = []
    original = DeltaStorageHandler.open_input_file

    def open_input_file(self: DeltaStorageHandler, path: str) -> pa.PythonFile:
        names.append(path)
        return original(self, path)

    monkeypatch.setattr(DeltaStorageHandler, "open_input_file", open_input_file)
    return names


def test_nothing_is_read_while_a_reader_is_made(table: DeltaTable, opened: list[str]) -> None:
    """Who makes it holds Python's lock, which the threads that open files wait for."""
    reader = files_of(table).scanner(columns=["id"], filter=pc.field("id") >= 150).to_reader()
    assert opened == []
    assert sorted(reader.read_all().column("id").to_pylist()) == list(range(150, 300))


def test_duckdb_reads_the_rows_and_only_the_files_that_it_needs(table: DeltaTable, opened: list[str]) -> None:
    connection = duckdb.connect()
    connection.register("stored", files_of(table))
    assert connection.sql("SELECT count(*), min(id) FROM stored WHERE day = 200").fetchall() == [(100, 200)]
    assert len(set(opened)) == 1
    assert connection.sql("SELECT count(*), max(id) FROM stored").fetchall() == [(300, 299)]
