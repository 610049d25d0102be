"""The warehouse as tables of a BigQuery dataset.

Rows come in by load jobs, which are free, atomic and known by their ids; marts by query jobs into a day's partition.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import IO

import pyarrow as pa
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import queries, tables
from engagement_platform.adapters.warehouse.bigquery.client import DatasetAddress, Patience, address_of, open_client
from engagement_platform.adapters.warehouse.bigquery.failures import blaming_sql, explained
from engagement_platform.adapters.warehouse.bigquery.jobs import Job, Jobs, failure_of
from engagement_platform.adapters.warehouse.bigquery.rows import exact_lines, located, parquet_of, size_of
from engagement_platform.adapters.warehouse.bigquery.snapshot import BigQuerySnapshot
from engagement_platform.adapters.warehouse.bigquery.turns import Turns
from engagement_platform.adapters.warehouse.port import (
    Conflict,
    Load,
    LoadFailed,
    NumberTaken,
    Parameter,
    Replacement,
    TableUnusable,
    Warehouse,
)
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings

_FIRST_DAY, _LAST_DAY = date(1960, 1, 1), date(2159, 12, 31)
"""The days that have a partition; rows of all others share one, which cannot be replaced."""
_LOAD = "engagement_load"


def open_bigquery(settings: Settings) -> Warehouse:
    """Return the warehouse in the dataset of ENGAGEMENT_WAREHOUSE_URI. Raises SettingsError, EngagementError."""
    address = address_of(settings)
    return BigQueryWarehouse(open_client(address), address, settings.own_dir / "bigquery_days")


class BigQueryWarehouse:
    """Keeps the promises of `port.Warehouse`. Of conflicts only one is raised: other writers' turns are waited for."""

    def __init__(
        self, client: bigquery.Client, address: DatasetAddress, scratch: Path, patience: Patience | None = None
    ) -> None:
        self._address = address
        self._scratch = scratch
        self._jobs = Jobs(client, address, patience or Patience())
        self._identities: dict[str, str] = {}
        self._turns: dict[tuple[str, date], Turns] = {}
        self._outdated: Counter[tuple[str, date, int]] = Counter()
        """How many jobs of a replacement met a column that had come after they were made."""

    def ensure(self, table: Table) -> str:
        """Create dataset, table and columns where they are missing, and return the table's identity."""
        jobs = self._jobs
        with explained(str(self._address), f"preparing {table.name}"):
            jobs.location = tables.ensure_dataset(jobs.client, self._address, jobs.retry, jobs.patience.request)
            present = tables.ensure_table(jobs.client, self._address, table, jobs.retry, jobs.patience.request)
        self._identities[table.name] = identity = tables.identity_of(present)
        return identity

    def has(self, table: Table) -> bool:
        """Say whether the table is there, and change nothing."""
        jobs = self._jobs
        with explained(str(self._address), f"looking at {table.name}"):
            present = tables.find_table(jobs.client, self._address, table, jobs.retry, jobs.patience.request)
        return present is not None

    def append(self, load: Load, batch: Path) -> None:
        """Append a batch by one load job, whose id is made from the load's number and the table."""
        self._writable(load.table)
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

    def replace_day(self, replacement: Replacement, rows: pa.RecordBatchReader) -> int:
        """Replace a day by a load job into its partition. The rows pass through a file in the state folder."""
        turns, replacement = self._turns_of(replacement), self._under_next_attempt(replacement)
        job = turns.done(replacement)
        if job is None:
            schema = self._writable(replacement.table).schema
            columns = tables.arrow_schema_of(schema, replacement.table)
            with parquet_of(columns, rows, self._scratch) as file:
                size = size_of(file)

                def send(job_id: str, labels: Mapping[str, str]) -> Job:
                    self._check_unchanged(replacement.table, schema)
                    config = self._load_config(replacement.table, bigquery.SourceFormat.PARQUET)
                    config.schema = schema
                    config.write_disposition = bigquery.WriteDisposition.WRITE_TRUNCATE
                    config.labels = dict(labels)
                    return self._jobs.load(file, size, self._partition(replacement), job_id, config)

                with self._looking_for_columns(replacement, schema):
                    job = turns.write(replacement, send, "the replacement of a day")
        return self._rows_of(job)

    def _under_next_attempt(self, replacement: Replacement) -> Replacement:
        """Return a replacement under an attempt that was not used up by a column that came meanwhile."""
        return replace(replacement, attempt=replacement.attempt + self._outdated[_key(replacement)])

    @contextmanager
    def _looking_for_columns(self, replacement: Replacement, schema: Sequence[bigquery.SchemaField]) -> Iterator[None]:
        """Raise Conflict for a job that failed because the table has got a column since it was made."""
        try:
            yield
        except LoadFailed:
            self._outdated[_key(replacement)] += 1
            self._check_unchanged(replacement.table, schema)
            self._outdated[_key(replacement)] -= 1
            raise

    def _check_unchanged(self, table: Table, schema: Sequence[bigquery.SchemaField]) -> None:
        """Raise Conflict when the table has got a column since then."""
        names = [field.name for field in self._present(table).schema]
        if names != [field.name for field in schema]:
            raise Conflict(f"{table.name} has got other columns meanwhile: {', '.join(names)}")

    def replace_day_by_query(self, replacement: Replacement, sql: str, parameters: Mapping[str, Parameter]) -> int:
        """Replace a day by a query job into its partition. Its columns must have the names and types of the table."""
        turns, replacement = self._turns_of(replacement), self._under_next_attempt(replacement)
        present = self._writable(replacement.table)
        others = tables.beside(present, replacement.table)
        whole = f"SELECT *, {', '.join(others)} FROM (\n{sql}\n)" if others else sql  # noqa: S608

        def send(job_id: str, labels: Mapping[str, str]) -> Job:
            config = queries.config(self._jobs, parameters)
            config.destination = self._partition(replacement)
            config.create_disposition = bigquery.CreateDisposition.CREATE_NEVER
            config.write_disposition = bigquery.WriteDisposition.WRITE_TRUNCATE
            config.labels = dict(labels)
            with blaming_sql():
                return self._jobs.query(whole, job_id, config)

        doing = f"the query for {replacement.table.name}"
        with self._looking_for_columns(replacement, present.schema):
            job = turns.write(replacement, send, doing)
        return self._rows_of(job)

    def retire(self, replacement: Replacement) -> bool:
        """Take the next turn of the day under the replacement's number, unless it has taken effect. See `turns`."""
        return self._turns_of(replacement).retire(replacement)

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return BigQuery's answer. A query without a filter on the day of a table fails."""
        return queries.answer(self._jobs, sql, parameters or {})

    def snapshot(self, table: str) -> BigQuerySnapshot:
        """Return a table as it is at this moment of BigQuery's clock."""
        return BigQuerySnapshot(self._jobs, table)

    def upkeep(self) -> dict[str, int]:
        """Do nothing: BigQuery keeps its tables in order itself."""
        return {}

    def _send_lines(self, load: Load, file: IO[bytes]) -> Job:
        config = self._load_config(load.table, bigquery.SourceFormat.NEWLINE_DELIMITED_JSON)
        config.write_disposition = bigquery.WriteDisposition.WRITE_APPEND
        config.labels = {_LOAD: _digest(load.id)}
        table = tables.reference(self._address, load.table)
        return self._jobs.load(file, size_of(file), table, self._job_id(load), config)

    def _load_config(self, table: Table, kind: str) -> bigquery.LoadJobConfig:
        """Return how a file is loaded: all of it or nothing, into the columns that the table has when the job runs.

        A schema of ours would have to be the table's at that moment, and another process may add a column before it:
        https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad (schema)
        """
        return bigquery.LoadJobConfig(
            source_format=kind,
            time_partitioning=tables.partitioning_of(table),
            clustering_fields=list(table.clustered_by),
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            autodetect=False,
            max_bad_records=0,
            ignore_unknown_values=False,
        )

    def _job_id(self, load: Load) -> str:
        """Return the id of the job under a load's number. A table made anew has not the loads of the one before it.

        The load's own id stands in a label, not here: so a platform database that is older than the table meets the
        job of its next number, instead of loading the same messages under another id.
        """
        return f"engagement_{load.writer}_{_digest(self._identity(load.table))}_{load.version}_{load.attempt}"

    def _check_is_of(self, job: Job, load: Load) -> None:
        if job.labels.get(_LOAD) != _digest(load.id):
            raise NumberTaken(str(self._address), load)

    def _partition(self, replacement: Replacement) -> bigquery.TableReference:
        dataset = bigquery.DatasetReference(self._address.project, self._address.dataset)
        return dataset.table(f"{replacement.table.name}${replacement.day:%Y%m%d}")

    def _turns_of(self, replacement: Replacement) -> Turns:
        table, day = replacement.table, replacement.day
        if not _FIRST_DAY <= day <= _LAST_DAY:
            raise EngagementError(
                f"BigQuery has no partition for {day}: rows before {_FIRST_DAY} and after {_LAST_DAY} share one.",
                "Set ENGAGEMENT_FIRST_DAY to a later day; correct such rows with a DELETE in BigQuery.",
            )
        self._present(table)
        if (table.name, day) not in self._turns:
            name = f"engagement_{table.name}_{day:%Y%m%d}_{_digest(self._identity(table))}"
            self._turns[table.name, day] = Turns(self._jobs, name)
        return self._turns[table.name, day]

    def _rows_of(self, job: Job) -> int:
        """Return how many rows a job has written."""
        if isinstance(job, bigquery.LoadJob):
            return int(job.output_rows or 0)
        with explained(str(self._address), "counting the rows of a query"):
            patience = self._jobs.patience
            answer = job.result(max_results=0, retry=self._jobs.retry, timeout=patience.request, job_retry=None)
            return int(answer.total_rows or 0)

    def _identity(self, table: Table) -> str:
        if table.name not in self._identities:
            self._present(table)
        return self._identities[table.name]

    def _writable(self, table: Table) -> bigquery.Table:
        """Return the table as it is, with all columns: another form may have come since `ensure`."""
        jobs, present = self._jobs, self._present(table)
        with explained(str(self._address), f"adding a column to {table.name}"):
            return tables.with_columns(jobs.client, present, table, jobs.retry, jobs.patience.request)

    def _present(self, table: Table) -> bigquery.Table:
        """Return the table as it is. Raises TableUnusable when it is missing, or another one than the ensured one."""
        jobs = self._jobs
        with explained(str(self._address), f"reading {table.name}"):
            reference = tables.reference(self._address, table)
            present = jobs.client.get_table(reference, retry=jobs.retry, timeout=jobs.patience.request)
            identity = tables.identity_of(present)
        if identity != self._identities.setdefault(table.name, identity):
            raise TableUnusable(
                f"The table {reference} was made anew while it was in use.",
                "Its days have to be rebuilt: start the process again.",
            )
        return present


def _key(replacement: Replacement) -> tuple[str, date, int]:
    """Return what names a replacement, whatever the attempt."""
    return replacement.table.name, replacement.day, replacement.number


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
