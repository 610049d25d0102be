"""The command, as make gives it on, and what comes of a report."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from engagement_platform_tests.bench.peers import command
from engagement_platform_tests.bench.peers.report import Report
from engagement_platform_tests.bench.peers.results import SHARES, CaughtUp, Rebuilt, Streamed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("words", [("bench", "peers", "ARGS=--quick"), ("bench", "ARGS=peers --quick")])
def test_make_bench_peers_measures_the_peers_alone(words: tuple[str, ...]) -> None:
    make = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", *words]
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(make, cwd=ROOT, env=fresh, capture_output=True, text=True, check=True)
    commands = [line.split() for line in done.stdout.splitlines() if line != ":"]
    assert commands == [[".venv/bin/python", "-m", "engagement_platform_tests.bench", "peers", "--quick"]]


def test_a_part_that_there_is_not_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["steam"])
    assert "no part steam; there are stream, catch-up, instead, rebuild" in capsys.readouterr().err


def test_a_report_is_written_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cpu = {"relay": 100.0, "Kafka": 50.0, "PostgreSQL": 30.0}
    report = Report(
        "make bench peers",
        streams=[Streamed("relay", 45, 45_000, 1, 2, 3, 4, [1.0 + n for n in range(len(SHARES))], 0, 0, cpu)],
        catching_up=[CaughtUp("relay", 300_000, 20_000, 18_000, 0, 0, cpu)],
        rebuilds=[Rebuilt("rebuild", 1_000_000, 3.0, 2.0, 800)],
    )
    command._write(report, tmp_path)
    written = json.loads((tmp_path / "peers.json").read_text())
    assert written["rebuilds"][0]["rows_per_cpu_second"] == 500_000
    assert written["command"] == "make bench peers"
    plots = sorted(file.name for file in tmp_path.glob("*.png"))
    assert plots == [f"peers-{name}.png" for name in ("catching-up", "cpu", "latency", "rebuild")]
    assert all(name in capsys.readouterr().out for name in plots[:1])
