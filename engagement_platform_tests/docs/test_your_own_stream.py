"""The folder that docs/your-own-stream.md leads to, done as it stands there: written, checked, shown, changed.

What Dagster runs by it is in integration/test_your_own_stream.py.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.docs.page import Page, Shell, put_behind

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.servers


@pytest.fixture
def shell(source_db: SourceDatabase, tmp_path: Path) -> Iterator[Shell]:
    variables = {"ENGAGEMENT_SOURCE_DSN": source_db.dsn, "ENGAGEMENT_LOCAL_WRITER_DSN": source_db.writer_dsn}
    made = Shell(tmp_path, {**os.environ, **variables})
    yield made
    made.close()


def test_the_folder(shell: Shell, tmp_path: Path) -> None:
    page, folder = Page(ROOT / "docs" / "your-own-stream.md"), tmp_path / "streams" / "orders"
    (tmp_path / "shop.sql").write_text(page.next("sql", "CREATE SCHEMA shop"))
    shell.type(page.next("sh", "ENGAGEMENT_LOCAL_WRITER_DSN"))
    assert "wrote streams/orders/enriched.sql" in shell.type(page.next("sh", "stream init"))
    assert page.next("text").strip() in (folder / "enriched.sql").read_text()
    said = shell.type(page.next("sh", "stream preview"))
    assert "streams/orders can be a stream" in said
    assert said.count("\nvalue: ") == 3
    shell.type("cp -r streams/orders former")
    page.until("diff")
    kept, line = page.next("diff").splitlines()
    put_behind(folder / "enriched.sql", kept.strip(), line.removeprefix("+"))
    put_behind(folder / "stream.toml", "[columns]", page.next("toml", "is_large"))
    assert "streams/orders can be a stream" in shell.type("engagement-platform stream check streams/orders")
    assert '"is_large":false' in shell.type("engagement-platform stream preview streams/orders --last 1")
    said = shell.type(f"{page.next('sh', 'stream diff').strip()} --against former", codes=(1,))
    assert "column added: is_large, bool" in said
    assert "rows that differ: 0" in said
