"""How many rows and bytes Dagster keeps with the stream on: by run, by report, by tick; and what that is in a day.

At rest and at 1,000 events a second. Leases are short here, so that some end; a day is reckoned with the usual ones.
What the tables take on disk is more, by the room between rows and by indexes: about twice.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engagement_platform.local.demo.programs import Measuring
from engagement_platform.local.generator.plans import Workload
from engagement_platform.local.stack import Endpoints
from engagement_platform.orchestration.materializations import EVERY_SECONDS
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.integration.dagster_dev import dagster_dev, environment
from engagement_platform_tests.streaming import insert, wait_for

LEASE_SECONDS, USUAL_LEASE_SECONDS = 40, 600
SECONDS = 60.0
RATE = 1_000.0
DAY = 24 * 3600
_TABLES = "SELECT to_regclass('runs') IS NOT NULL AND to_regclass('job_ticks') IS NOT NULL AS there"
_ENDED = "SELECT count(*) AS runs FROM runs WHERE pipeline_name = 'engagement_stream' AND status = 'SUCCESS'"
_OF_RUNS = """
SELECT count(*) / count(DISTINCT run_id)::float AS rows,
       sum(pg_column_size(log.*)) / count(DISTINCT run_id)::float AS bytes
  FROM event_logs AS log
 WHERE run_id IN (SELECT run_id FROM runs WHERE pipeline_name = 'engagement_stream' AND status = 'SUCCESS')
   AND coalesce(dagster_event_type, '') NOT IN ('ASSET_MATERIALIZATION', 'ASSET_CHECK_EVALUATION')
"""
_REPORTS = """
SELECT coalesce(dagster_event_type, '') AS kind, count(*) AS rows, avg(pg_column_size(log.*))::float AS bytes
  FROM event_logs AS log
 WHERE id > %(after)s AND dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_CHECK_EVALUATION')
   AND asset_key IS NOT NULL
 GROUP BY 1
"""
_TICKS = """
SELECT count(*) AS rows, coalesce(avg(pg_column_size(t.*)), 0)::float AS bytes FROM job_ticks AS t WHERE id > %(after)s
"""
_CHECKS = """
SELECT count(*) AS rows, coalesce(avg(pg_column_size(c.*)), 0)::float AS bytes
  FROM asset_check_executions AS c WHERE id > %(after)s
"""


def run(endpoints: Endpoints) -> list[Figure]:
    """Start Dagster over empty servers, and count what it keeps: first without events, then with many."""
    folder = Path(tempfile.mkdtemp(prefix="engagement-bench-"))
    try:
        with own_place(endpoints, start="earliest") as place:
            return list(_measured(endpoints, folder, place))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(endpoints: Endpoints, folder: Path, place: Place) -> Iterator[Figure]:
    with psycopg.connect(place.source.writer_dsn, autocommit=True) as connection:
        insert(connection)
    variables = environment(endpoints, folder, place.settings) | {"ENGAGEMENT_LEASE_SECONDS": str(LEASE_SECONDS)}
    variables["ENGAGEMENT_LOCAL_WRITER_DSN"] = place.source.writer_dsn
    with dagster_dev(folder, variables), _Tables(place) as tables:
        wait_for(lambda: tables.row(_TABLES)["there"], "Dagster's tables", 180)
        wait_for(lambda: tables.row(_ENDED)["runs"] >= 1, "the end of a run", 180)
        yield from tables.figures("at rest")
        measuring = Measuring(folder, variables)
        measuring.start_reader()
        measuring.start_generator(Workload(RATE, writers=4, seed=7))
        try:
            yield from tables.figures(f"at {RATE:,.0f}/s")
        finally:
            measuring.stop()


class _Tables:
    """Dagster's tables."""

    def __init__(self, place: Place) -> None:
        dsn = place.settings.platform.dsn.get_secret_value()
        self._connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def __enter__(self) -> "_Tables":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def row(self, statement: str, **values: object) -> Mapping[str, Any]:
        (row,) = self.all(statement, **values)
        return row

    def all(self, statement: str, **values: object) -> list[dict[str, Any]]:
        return self._connection.execute(statement.encode(), values).fetchall()

    def _last(self, table: str) -> int:
        return int(self.row(f"SELECT coalesce(max(id), 0) AS id FROM {table}")["id"])

    def figures(self, when: str) -> Iterator[Figure]:
        """Wait for a while, and yield what came meanwhile, as of one day."""
        after = {table: self._last(table) for table in ("event_logs", "job_ticks", "asset_check_executions")}
        began = time.monotonic()
        time.sleep(SECONDS)
        days = (time.monotonic() - began) / DAY
        run = self.row(_OF_RUNS)
        runs = DAY / USUAL_LEASE_SECONDS
        reports = {row["kind"]: row for row in self.all(_REPORTS, after=after["event_logs"])}
        told = reports.get("ASSET_MATERIALIZATION", {"rows": 0, "bytes": 0.0})
        reported = len(NAMES) * (DAY / EVERY_SECONDS + 2 * runs)
        ticks = self.row(_TICKS, after=after["job_ticks"])
        checks = self.row(_CHECKS, after=after["asset_check_executions"])
        in_lease = checks["rows"] * LEASE_SECONDS / USUAL_LEASE_SECONDS
        parts = {
            "events of runs": (runs * run["rows"], runs * run["bytes"]),
            # With short leases there are more: of each, a loop tells at its beginning and at its end besides.
            "reports of loops": (reported, reported * told["bytes"]),
            "ticks": (ticks["rows"] / days, ticks["rows"] * ticks["bytes"] / days),
            # Each outcome stands in two tables.
            "outcomes of checks": (in_lease / days, 2 * in_lease * checks["bytes"] / days),
        }
        for name, (rows, size) in parts.items():
            yield Figure(f"{when}: {name}, rows a day", rows, "rows")
            yield Figure(f"{when}: {name}, a day", size / 1_000_000, "MB")
        yield Figure(f"{when}: all, a day", sum(size for _, size in parts.values()) / 1_000_000, "MB")
