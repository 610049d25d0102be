"""A month of small appends to Delta Lake: `python -m engagement_platform_tests.bench.bench_upkeep`. Needs no server.

30 days of 24 hours; of the 720 appends of an hour 6 are made, followed by an upkeep as the schedule does it each hour.
So a day has as many compactions as in life, with fewer files in each; all of it passes within minutes, so no file and
no entry of the log is ever old enough to be removed, which in life happens after hours: here everything piles up.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ParamSpec

from engagement_platform.adapters.warehouse.delta.tables import Place
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.domain.table import ENGAGEMENT_EVENTS
from engagement_platform_tests.adapters.warehouse.rows import batch, events
from engagement_platform_tests.adapters.warehouse.support import load

DAYS, HOURS, APPENDS, ROWS = 30, 24, 6, 250
FIRST = date(2026, 3, 1)
P = ParamSpec("P")
SCAN = "SELECT SUM(duration_ms) AS ms FROM engagement_events WHERE DATE(event_ts) = @day"


def run(folder: Path) -> dict[str, Any]:
    """Append, care, ask; return the figures of the first and of the last day."""
    warehouse = DeltaWarehouse(Place(str(folder / "warehouse")))
    warehouse.ensure(ENGAGEMENT_EVENTS)
    (folder / "batches").mkdir(parents=True)
    by_day: list[dict[str, float]] = []
    version = 0
    for day in (FIRST + timedelta(days=n) for n in range(DAYS)):
        appends, upkeeps = [], []
        for _ in range(HOURS):
            for _ in range(APPENDS):
                rows = batch(folder / "batches", events(range(version * ROWS, (version + 1) * ROWS), day))
                appends.append(_seconds(warehouse.append, load(version), rows))
                rows.unlink()
                version += 1
            upkeeps.append(_seconds(warehouse.upkeep))
        scan = _seconds(warehouse.query, SCAN, {"day": day})
        by_day.append(
            {
                "append_ms_p50": _ms(statistics.median(appends)),
                "append_ms_max": _ms(max(appends)),
                "upkeep_ms_p50": _ms(statistics.median(upkeeps)),
                "upkeep_ms_max": _ms(max(upkeeps)),
                "scan_of_the_day_ms": _ms(scan),
            }
        )
    (counted,) = warehouse.query(
        "SELECT COUNT(*) AS n FROM engagement_events WHERE event_ts >= '2020-01-01'"
    ).to_pylist()
    if counted["n"] != version * ROWS:
        sys.exit(f"{counted['n']} rows in the table, {version * ROWS} were appended")
    return {"appends": version, "first day": by_day[0], "last day": by_day[-1], "files": warehouse.upkeep()["files"]}


def _seconds(act: Callable[P, object], *what: P.args, **how: P.kwargs) -> float:
    began = time.perf_counter()
    act(*what, **how)
    return time.perf_counter() - began


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 1)


def main() -> None:
    """Run in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="engagement-bench-") as folder:
        json.dump({"a month of appends": run(Path(folder))}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
