import os
import subprocess
import sys
from pathlib import Path

_PROCESSES, _TIMES = 3, 300

COUNT = f"""
import pathlib, sys
from engagement_platform.local.kafka import alone
count = pathlib.Path(sys.argv[1])
for _ in range({_TIMES}):
    with alone("test"):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_the_cache_is_filled_by_one_process_at_a_time(tmp_path: Path) -> None:
    """Stacks that are started at once, for the first time, share what they download."""
    count = tmp_path / "count"
    count.write_text("0")
    environment = os.environ | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", COUNT, str(count)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(_PROCESSES)]
    assert [process.wait(60) for process in processes] == [0] * _PROCESSES
    assert count.read_text() == str(_PROCESSES * _TIMES)
