"""A session whose processes import only the files that they run is any other session to whoever reads its outcome."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engagement_platform_tests.whole_files import suffice

CONFTEST = """
import os
import pytest
from engagement_platform_tests.whole_files import WholeFiles, suffice

def pytest_configure(config):
    if getattr(config, "workerinput", {}).get("whole_files"):
        config.pluginmanager.register(WholeFiles())

def pytest_configure_node(node):
    node.workerinput["whole_files"] = suffice(node.config)

@pytest.fixture(scope="session")
def server():
    print("up", os.getpid(), file=open("servers", "a"))
    yield
    print("down", os.getpid(), file=open("servers", "a"))
"""
FILES = {
    "conftest.py": CONFTEST,
    "test_a.py": "open('imported', 'a').write('a')\ndef test_one(server): pass\ndef test_two(): assert 1 == 2",
    "test_b.py": "open('imported', 'a').write('b')\ndef test_three(server): pass\ndef test_four(server): pass",
    "test_c.py": "open('imported', 'a').write('c')\nimport nothing_of_that_name",
    "test_d.py": "import pytest\nopen('imported', 'a').write('d')\npytest.skip('not here', allow_module_level=True)",
    "test_e.py": "open('imported', 'a').write('e')\ndef test_five(server): pass",
}


SKIPS_BETWEEN_FOLDERS = {
    "conftest.py": CONFTEST,
    "one/test_a.py": "def test_one(server): pass",
    "one/test_b.py": "import pytest\npytest.skip('not here', allow_module_level=True)",
    "two/test_c.py": "def test_two(server): pass",
    "two/test_d.py": "def test_fails(server): assert 1 == 2",
}


def run(folder: Path, *arguments: str, files: Mapping[str, str] = FILES) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-rA", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout


def test_every_test_is_told_once_each_file_is_imported_by_one_process_and_what_it_shares_is_ended(
    tmp_path: Path,
) -> None:
    said = run(tmp_path)
    assert "1 failed, 4 passed, 1 skipped, 1 error" in said
    assert "FAILED test_a.py::test_two - assert 1 == 2" in said
    assert "No module named 'nothing_of_that_name'" in said
    assert sorted((tmp_path / "imported").read_text()) == ["a", "b", "c", "d", "e"]
    told = (tmp_path / "servers").read_text().split("\n")[:-1]
    assert len(set(told)) == len(told)
    assert {line.split()[1] for line in told if "up" in line} == {line.split()[1] for line in told if "down" in line}


def test_a_file_that_skips_itself_ends_what_the_next_folder_does_not_share(tmp_path: Path) -> None:
    said = run(tmp_path, "-n", "1", files=SKIPS_BETWEEN_FOLDERS)
    assert "1 failed, 2 passed, 1 skipped" in said
    assert "error" not in said


def test_part_of_a_file_is_found_as_ever(tmp_path: Path) -> None:
    assert "1 failed in" in run(tmp_path, "test_a.py::test_two")


@pytest.mark.parametrize(
    ("changed", "is_whole"),
    [
        ({}, True),
        ({"keyword": "x"}, False),
        ({"markexpr": "slow"}, False),
        ({"lf": True}, False),
        ({"dist": "load"}, False),
    ],
)
def test_files_suffice_where_all_of_their_tests_run(changed: dict[str, object], is_whole: bool) -> None:
    option = {"dist": "loadfile", "keyword": "", "markexpr": "", "deselect": None, "lf": False, "failedfirst": False}
    config: Any = SimpleNamespace(option=SimpleNamespace(**option | changed), args=["engagement_platform_tests"])
    assert suffice(config) is is_whole
