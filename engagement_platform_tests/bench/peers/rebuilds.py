"""A day of a million rows, rebuilt by this platform, loaded by dlt and by ingestr: rows per CPU second, and memory.

Each works in a process of its own. Of Python's imports none are counted; ingestr is a command written in Go, whose
start is part of it. Rebuild and dlt replace a Delta table. ingestr knows none: it writes one Parquet file, which is
less work; for DuckDB it would download a driver.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engagement_platform.domain.days import bounds
from engagement_platform.settings import Settings
from engagement_platform_tests.bench import bench_rebuild
from engagement_platform_tests.bench.bench_rebuild import DAY, Measured, load_with_dlt, rebuild
from engagement_platform_tests.bench.bench_rebuild_dlt import cpu_seconds, query
from engagement_platform_tests.bench.peers.budgets import DLT, INGESTR, REBUILD
from engagement_platform_tests.bench.peers.harness import Bench
from engagement_platform_tests.bench.peers.results import NotToBeHad, Rebuilt
from engagement_platform_tests.bench.place import apart, own_place

INGESTR_VERSION = "0.15.9"
"""The last whose package has the program in it: from 1.0 on it downloads that at its first use."""
INSTALL_SECONDS, LOAD_SECONDS = 240, 240


def rebuilds(bench: Bench, rows: int, skip: Callable[[str], None]) -> Iterator[Rebuilt]:
    """Yield what each tool did with the same day. `skip` is told of a tool that cannot be had."""
    with own_place(bench.endpoints) as place:
        bench_rebuild.prepare(place, rows, DAY)
        own = apart(rebuild, place.settings, DAY)
        yield _result(REBUILD, own, own)
        yield _result(DLT, apart(load_with_dlt, place.settings, DAY), own)
        try:
            program = install_ingestr(bench.folder / "ingestr")
            yield _result(INGESTR, apart(load_with_ingestr, program, place.settings), own)
        except NotToBeHad as error:
            skip(f"{INGESTR}: {error}")


def _result(name: str, measured: Measured, own: Measured) -> Rebuilt:
    """Return what is reported of a tool, whose table has to have the same as our own."""
    assert measured.found == own.found, f"{name} loaded something else: {measured.found} in place of {own.found}"
    return Rebuilt(name, measured.found[0], measured.seconds, measured.cpu_seconds, measured.peak_mb)


def install_ingestr(folder: Path) -> Path:
    """Install ingestr into an environment of its own; return its command. Raises NotToBeHad."""
    uv = Path(sys.executable).with_name("uv")
    _run([uv, "venv", "--quiet", "--python", sys.executable, folder], INSTALL_SECONDS)
    python = folder / "bin" / "python"
    _run([uv, "pip", "install", "--quiet", "--python", python, f"{INGESTR}=={INGESTR_VERSION}"], INSTALL_SECONDS)
    _run([folder / "bin" / "ingestr", "--version"], 60)
    return folder / "bin" / "ingestr"


def load_with_ingestr(program: Path, settings: Settings) -> Measured:
    """Load the day into a Parquet file."""
    begin, end = (moment.isoformat() for moment in bounds(DAY))
    with tempfile.TemporaryDirectory(dir=settings.state_dir) as folder:
        file = Path(folder) / "day.parquet"
        command: list[str | Path] = [
            program, "ingest", "--yes", "--progress", "log",
            "--source-uri", settings.source.dsn.get_secret_value(),
            "--source-table", f"query:{query(begin, end)}",
            "--dest-uri", f"parquet://{file}",
            "--dest-table", "main.engagement_events",
        ]  # fmt: skip
        began, used = time.perf_counter(), cpu_seconds()
        _run(command, LOAD_SECONDS, home=folder)
        seconds, used = time.perf_counter() - began, cpu_seconds() - used
        kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return Measured(seconds, used, kilobytes >> 10, _found(file))


def _run(command: Sequence[str | Path], seconds: float, **variables: str) -> None:
    """Run a command. Raises NotToBeHad."""
    words = [str(word) for word in command]
    environment = os.environ | {name.upper(): value for name, value in variables.items()}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHad(f"{Path(command[0]).name} did not run: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise NotToBeHad(f"{Path(command[0]).name} failed: {said[-1] if said else done.returncode}")


def _found(file: Path) -> tuple[int, int, str]:
    import pyarrow.compute as pc
    from pyarrow import parquet

    rows = parquet.read_table(file, columns=["duration_ms", "engagement_seconds"])
    seconds = pc.sum(rows["engagement_seconds"]).as_py()
    return rows.num_rows, pc.sum(rows["duration_ms"]).as_py(), f"{seconds:.2f}"  # of a DECIMAL with more digits
