"""The loader of `.sql` files."""

import sys
from pathlib import Path

import pytest

from engagement_platform.adapters import sql


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "sql_samples").mkdir()
    (tmp_path / "sql_samples" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sql_samples", raising=False)
    sql.load.cache_clear()
    return "sql_samples"


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "sql_samples" / "a.sql").write_text(text)


def test_statements_come_by_name_without_comments_and_semicolon(tmp_path: Path, package: str) -> None:
    write(
        tmp_path,
        "-- About the file.\n\n-- name: one\n-- What it does.\nSELECT 1\n  -- why\n  + 1;\n\n-- name: two\nSELECT 2",
    )
    assert sql.load(package, "a.sql") == {"one": "SELECT 1\n  + 1", "two": "SELECT 2"}


def test_a_name_used_twice_is_refused(tmp_path: Path, package: str) -> None:
    write(tmp_path, "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="twice"):
        sql.load(package, "a.sql")
