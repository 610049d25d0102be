import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engagement_platform.domain.batches import Rejected, line_of
from engagement_platform.domain.errors import Unavailable
from engagement_platform.stream import staging


@pytest.fixture
def pid_of_the_dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_batch_is_gone_afterwards_whatever_happened(tmp_path: Path) -> None:
    def fail() -> None:
        with staging.clean_file(tmp_path, "events_0@0-9", []) as path:
            assert path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path, pid_of_the_dead: int) -> None:
    for pid in (os.getpid(), pid_of_the_dead):
        (tmp_path / f"events_0@0-9.{pid}.ndjson").touch()
    staging.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"events_0@0-9.{os.getpid()}.ndjson"]


def test_what_was_rejected_stays_for_a_month(tmp_path: Path) -> None:
    rejected = line_of(b"no event")
    assert isinstance(rejected, Rejected)
    staging.keep_rejected(tmp_path, "old", [rejected])
    staging.keep_rejected(tmp_path, "new", [rejected])
    long_ago = time.time() - staging.REJECTED_KEPT_SECONDS - 60
    os.utime(tmp_path / "old.rejected", (long_ago, long_ago))
    staging.remove_leftovers(tmp_path)
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
    with pytest.raises(Unavailable, match="No space left") as raised, staging.clean_file(tmp_path, full.name, [line]):
        pass
    assert "ENGAGEMENT_STATE_DIR" in raised.value.todo
    assert not list(tmp_path.iterdir())
