import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.batches import Rejected, name_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.stage import batch_files
from engagement_platform_tests.streams import line_of


@pytest.fixture
def pid_of_the_dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_batch_is_gone_afterwards_whatever_happened(tmp_path: Path) -> None:
    def fail() -> None:
        with batch_files.clean_file(tmp_path, "events_0@0-9", []) as path:
            assert path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, pid_of_the_dead: int) -> None:
    for pid in (os.getpid(), pid_of_the_dead):
        (tmp_path / f"events_0@0-9.{pid}.ndjson").touch()
    batch_files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"events_0@0-9.{os.getpid()}.ndjson"]


@pytest.mark.parametrize(
    "name",
    [
        "x.ndjson",
        "x.².ndjson",
        "x.99999999999999999999.ndjson",
        "x.1.ndjson",
        ".ndjson",
        "ndjson",
        "export_2024-01-01.12.ndjson",
        "events_0@0-9.ndjson",
        "events_0@0-9.².ndjson",
        "events_0@0-9.0.ndjson",
        "events_0@0-9.99999999999999999999.ndjson",
        "events_0@0-9.1.ndjson.gz",
        "old.rejected",
        "أحداث.ndjson",
    ],
)
def test_a_file_of_somebody_else_stays(tmp_path: Path, name: str) -> None:
    foreign = tmp_path / name
    foreign.write_text("mine")
    os.utime(foreign, (0, 0))
    batch_files.remove_leftovers(tmp_path)
    assert foreign.read_text() == "mine"


def test_what_is_no_file_stays(tmp_path: Path, pid_of_the_dead: int) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "d.ndjson").mkdir()
    (tmp_path / f"events_0@0-8.{pid_of_the_dead}.ndjson").mkdir()
    (tmp_path / f"events_0@0-9.{pid_of_the_dead}.ndjson").symlink_to(target)
    (tmp_path / "d.rejected").mkdir()
    before = sorted(tmp_path.iterdir())
    batch_files.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


@given(st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True), st.sets(st.integers(0, 99), min_size=1, max_size=20))
def test_the_names_of_all_batches_are_known_again(topic: str, partitions: set[int]) -> None:
    name = name_of(topic, dict.fromkeys(partitions, (5, 2**62)))
    assert batch_files._CLEAN_FILE.fullmatch(f"{name}.{os.getpid()}.ndjson")


def test_a_file_that_another_container_is_at_is_neither_removed_nor_written_to(
    tmp_path: Path, pid_of_the_dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's number means nothing here, or something else."""
    monkeypatch.setattr(os, "getpid", lambda: pid_of_the_dead)
    with batch_files.clean_file(tmp_path, "events_0@0-9", []) as path:
        path.write_bytes(b"whole")
        batch_files.remove_leftovers(tmp_path)
        with (
            pytest.raises(Unavailable, match="in use by another process"),
            batch_files.clean_file(tmp_path, "events_0@0-9", []),
        ):
            pass
        assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("state_dir", ["/proc/self/state", "/dev/null", "/dev/null/state"])
def test_a_folder_that_cannot_be_made_is_an_outage_that_names_it(state_dir: str) -> None:
    settings = Settings.of(source_dsn="unused", platform_dsn="unused", state_dir=state_dir)
    with pytest.raises(Unavailable, match="/bigquery_batches cannot be written") as raised:
        batch_files.folder_of(settings)
    assert "ENGAGEMENT_STATE_DIR" in raised.value.todo


@pytest.mark.parametrize("state", ["gone", "a file"])
def test_a_folder_that_is_lost_meanwhile_is_an_outage(tmp_path: Path, state: str) -> None:
    folder = tmp_path / batch_files.FOLDER
    if state == "a file":
        folder.touch()
    batch_files.remove_leftovers(folder)
    with pytest.raises(Unavailable, match="cannot be written"), batch_files.clean_file(folder, "events_0@0-9", []):
        pass
    with pytest.raises(Unavailable, match="cannot be written"):
        batch_files.keep_rejected(folder, "events_0@0-9", [])


def test_a_folder_under_the_name_of_a_batch_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / f"events_0@0-9.{os.getpid()}.ndjson").mkdir()
    with pytest.raises(Unavailable, match="Is a directory"), batch_files.clean_file(tmp_path, "events_0@0-9", []):
        pass


def test_what_was_rejected_stays_for_a_month(tmp_path: Path) -> None:
    rejected = line_of(b"no event")
    assert isinstance(rejected, Rejected)
    batch_files.keep_rejected(tmp_path, "old", [rejected])
    batch_files.keep_rejected(tmp_path, "new", [rejected])
    long_ago = time.time() - batch_files.REJECTED_KEPT_SECONDS - 60
    os.utime(tmp_path / "old.rejected", (long_ago, long_ago))
    batch_files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.rejected"]


def test_a_full_disk_is_an_outage_that_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    full = tmp_path / "events_0@0-9"
    full.with_name(f"events_0@0-9.{os.getpid()}.ndjson").symlink_to("/dev/full")
    line = line_of(
        b'{"id":1,"content_id":null,"user_id":null,"event_type":null,"event_ts":"2024-08-01T00:00:00Z",'
        b'"duration_ms":null,"device":null,"raw_payload":null,"slug":null,"title":null,"content_type":null,'
        b'"length_seconds":null,"engagement_seconds":null,"engagement_pct":null}'
    )
    assert not isinstance(line, Rejected)
    with (
        pytest.raises(Unavailable, match="No space left") as raised,
        batch_files.clean_file(tmp_path, full.name, [line]),
    ):
        pass
    assert "ENGAGEMENT_STATE_DIR" in raised.value.todo
    assert not list(tmp_path.iterdir())
