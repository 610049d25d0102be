"""Folders of streams: the packaged one, and what is wrong with others."""

from pathlib import Path

import pytest

from engagement_platform.adapters.redis.counted import UNSAID, counted_by
from engagement_platform.adapters.streams import read
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.json_schema import json_schema_of
from engagement_platform.domain.stream_table import table_of
from engagement_platform_tests.streams import ENGAGEMENT, ENGAGEMENT_EVENTS, PACKAGED

GOOD = """
name = "orders"
meaning = "What was bought."
source = { table = "orders", id = "id", time = "at" }
message = { key = "customer" }
warehouse = { table = "orders" }
views.dimensions.country.column = "country"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stream.toml").write_text(GOOD)
    (tmp_path / "enriched.sql").write_text("-- The events.\nSELECT id, at, customer, country FROM orders;\n")
    return tmp_path


def test_the_packaged_stream_is_what_it_was() -> None:
    stream = PACKAGED
    assert list(stream.meanings) == [column.name for column in ENGAGEMENT_EVENTS.columns]
    assert list(stream.meanings) == list(json_schema_of(stream, ENGAGEMENT)["properties"])
    assert stream.table == ENGAGEMENT_EVENTS.name
    assert stream.clustered_by == ENGAGEMENT_EVENTS.clustered_by
    assert table_of(stream, ENGAGEMENT) == ENGAGEMENT_EVENTS
    assert counted_by(stream) == UNSAID  # what the views of the versions before counted


def test_statements_come_without_comments_and_semicolon(folder: Path) -> None:
    (folder / "marts").mkdir()
    (folder / "marts" / "daily_orders.sql").write_text("-- A row a day.\nSELECT @day AS day\n")
    (folder / "marts" / "notes.txt").write_text("not a table")
    stream = read(folder)
    assert stream.enriched.strip() == "SELECT id, at, customer, country FROM orders"
    assert {name: mart.query for name, mart in stream.marts.items()} == {"daily_orders": "SELECT @day AS day"}


def test_a_line_of_the_statement_is_that_line_of_its_file(folder: Path) -> None:
    text = "-- Orders.\n\n  -- Each one.\nSELECT id,\n-- when\n\n at, customer, country\nFROM orders; \n"
    (folder / "enriched.sql").write_text(text)
    lines = read(folder).enriched.split("\n")
    for number, line in enumerate(text.split("\n")[: len(lines)]):
        assert lines[number] == (" " * len(line) if line.strip().startswith("--") else line.rstrip("; "))
    assert lines[-1] == "FROM orders"


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "enriched.sql").unlink()
    with pytest.raises(SettingsError, match=r"enriched\.sql"):
        read(folder)


def test_toml_that_is_none_is_said_with_its_line(folder: Path) -> None:
    (folder / "stream.toml").write_text('name = "orders"\nmeaning = What\n')
    with pytest.raises(SettingsError, match="line 2"):
        read(folder)
