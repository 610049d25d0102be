"""The warehouse as tables of a BigQuery dataset.

Rows come in by load jobs, which are free, atomic and known by their ids; marts by query jobs into a day's partition.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pyarrow as pa
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import tables
from engagement_platform.adapters.warehouse.bigquery.client import DatasetAddress, Patience, address_of, open_client
from engagement_platform.adapters.warehouse.bigquery.jobs import Job, Jobs, answer, digest, failure_of
from engagement_platform.adapters.warehouse.bigquery.present import PresentTables
from engagement_platform.adapters.warehouse.bigquery.replacements import Replacements
from engagement_platform.adapters.warehouse.bigquery.rows import exact_lines, located, size_of
from engagement_platform.adapters.warehouse.port import Extent, Load, NumberTaken, Parameter, RowOfDay, Warehouse
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings


class BigQuerySnapshot:
    """Keeps the promises of `port.Snapshot` for the seven days, at most, that BigQuery keeps what was.

    https://cloud.google.com/bigquery/docs/access-historical-data
    """

    def __init__(self, jobs: Jobs, table: str) -> None:
        self._jobs = jobs
        # BigQuery's clock: a moment that lies ahead of it is refused.
        [now] = answer(jobs, "SELECT CURRENT_TIMESTAMP() AS moment", {}).column("moment").to_pylist()
        self.name = f"`{table}` FOR SYSTEM_TIME AS OF TIMESTAMP '{now.isoformat(sep=' ')}'"

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return BigQuery's answer. A query without a filter on the day of the table fails."""
        return answer(self._jobs, sql, parameters or {})


_LOAD = "engagement_load"


def open_bigquery(settings: Settings) -> Warehouse:
    """Return the warehouse in the dataset of ENGAGEMENT_WAREHOUSE_URI. Raises SettingsError, EngagementError."""
    address = address_of(settings)
    return BigQueryWarehouse(open_client(address), address, settings.own_dir / "bigquery_days")


class BigQueryWarehouse:
    """Keeps the promises of `port.Warehouse`."""

    def __init__(
        self, client: bigquery.Client, address: DatasetAddress, scratch: Path, patience: Patience | None = None
    ) -> None:
        self._address = address
        self._scratch = scratch
        self._jobs = Jobs(client, address, patience or Patience())
        self._tables = PresentTables(self._jobs)
        self.ensure, self.has = self._tables.ensure, self._tables.has
        replacements = Replacements(self._jobs, self._tables, scratch)
        self.replace_day, self.replace_day_by_query = replacements.by_rows, replacements.by_query
        self.retire = replacements.retire

    def extent(self, table: Table) -> Extent:
        """Return how large the table is, as BigQuery shows it with the table."""
        present = self._tables.now(table)
        return Extent(int(present.num_rows or 0), int(present.num_bytes or 0))

    def append(self, load: Load, batch: Path) -> None:
        """Append a batch by one load job, whose id is made from the load's number and the table."""
        self._tables.writable(load.table)
        with exact_lines(batch, self._scratch) as file:
            job = self._jobs.once(self._job_id(load), lambda: self._send_lines(load, file), "a load")
            self._check_is_of(job, load)
            failure = failure_of(job, located(file))
        if failure is not None:
            raise failure

    def is_loaded(self, load: Load) -> bool:
        """Say whether the load has taken effect. One that has failed has not: to append it again says why."""
        job = self._jobs.find(self._job_id(load))
        if job is None:
            return False
        self._check_is_of(job, load)
        return failure_of(self._jobs.ended(job)) is None

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return BigQuery's answer. A query without a filter on the day of a table fails."""
        return answer(self._jobs, sql, parameters or {})

    def locate(self, row: RowOfDay) -> tuple[str, ...] | None:
        """Say whether there is a row: BigQuery tells no files."""
        found = self.query(
            f"SELECT 1 AS found FROM `{row.table}` WHERE `{row.id}` = @number"  # noqa: S608, names of the stream
            f" AND `{row.time}` >= @begin AND `{row.time}` < @end LIMIT 1",
            {"number": row.number, "begin": row.begin, "end": row.end},
        )
        return () if found.num_rows else None

    def snapshot(self, table: str) -> BigQuerySnapshot:
        """Return a table as it is at this moment of BigQuery's clock."""
        return BigQuerySnapshot(self._jobs, table)

    def upkeep(self) -> dict[str, int]:
        """Do nothing: BigQuery keeps its tables in order itself."""
        return {}

    def _send_lines(self, load: Load, file: IO[bytes]) -> Job:
        config = tables.load_config(load.table, bigquery.SourceFormat.NEWLINE_DELIMITED_JSON)
        config.write_disposition = bigquery.WriteDisposition.WRITE_APPEND
        config.labels = {_LOAD: digest(load.id)}
        table = tables.reference(self._address, load.table)
        return self._jobs.load(file, size_of(file), table, self._job_id(load), config)

    def _job_id(self, load: Load) -> str:
        """Return the id of the job under a load's number. A table made anew has not the loads of the one before it.

        The load's own id stands in a label, not here: so a platform database that is older than the table meets the
        job of its next number, instead of loading the same messages under another id.
        """
        return f"engagement_{load.writer}_{digest(self._tables.identity(load.table))}_{load.version}_{load.attempt}"

    def _check_is_of(self, job: Job, load: Load) -> None:
        if job.labels.get(_LOAD) != digest(load.id):
            raise NumberTaken(str(self._address), load)
