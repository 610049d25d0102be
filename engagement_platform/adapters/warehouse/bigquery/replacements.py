"""Replaces the days of tables, by load jobs and query jobs that take turns: see `turns`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery import tables
from engagement_platform.adapters.warehouse.bigquery.failures import blaming_sql, explained
from engagement_platform.adapters.warehouse.bigquery.jobs import Job, Jobs, config_of, digest
from engagement_platform.adapters.warehouse.bigquery.present import PresentTables
from engagement_platform.adapters.warehouse.bigquery.rows import parquet_of, size_of
from engagement_platform.adapters.warehouse.bigquery.turns import Turns
from engagement_platform.adapters.warehouse.port import Conflict, LoadFailed, Parameter, Replacement
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.table import Table

_FIRST_DAY, _LAST_DAY = date(1960, 1, 1), date(2159, 12, 31)
"""The days that have a partition; rows of all others share one, which cannot be replaced."""


class Replacements:
    """The replacements of one dataset. Of conflicts only one is raised: other writers' turns are waited for."""

    def __init__(self, jobs: Jobs, present: PresentTables, scratch: Path) -> None:
        self._jobs = jobs
        self._tables = present
        self._scratch = scratch
        self._turns: dict[tuple[str, date], Turns] = {}
        self._outdated: Counter[tuple[str, date, int]] = Counter()
        """How many jobs of a replacement met a column that had come after they were made."""

    def by_rows(self, replacement: Replacement, rows: pa.RecordBatchReader) -> int:
        """Replace a day by a load job into its partition. The rows pass through a file in the state folder."""
        turns, replacement = self._turns_of(replacement), self._under_next_attempt(replacement)
        job = turns.done(replacement)
        if job is None:
            schema = self._tables.writable(replacement.table).schema
            columns = tables.arrow_schema_of(schema, replacement.table)
            with parquet_of(columns, rows, self._scratch) as file:
                size = size_of(file)

                def send(job_id: str, labels: Mapping[str, str]) -> Job:
                    self._check_unchanged(replacement.table, schema)
                    config = tables.load_config(replacement.table, bigquery.SourceFormat.PARQUET)
                    config.schema = schema
                    config.write_disposition = bigquery.WriteDisposition.WRITE_TRUNCATE
                    config.labels = dict(labels)
                    return self._jobs.load(file, size, self._partition(replacement), job_id, config)

                with self._looking_for_columns(replacement, schema):
                    job = turns.write(replacement, send, "the replacement of a day")
        return self._rows_of(job)

    def by_query(self, replacement: Replacement, sql: str, parameters: Mapping[str, Parameter]) -> int:
        """Replace a day by a query job into its partition. Its columns must have the names and types of the table."""
        turns, replacement = self._turns_of(replacement), self._under_next_attempt(replacement)
        present = self._tables.writable(replacement.table)
        others = tables.beside(present, replacement.table)
        whole = f"SELECT *, {', '.join(others)} FROM (\n{sql}\n)" if others else sql  # noqa: S608

        def send(job_id: str, labels: Mapping[str, str]) -> Job:
            config = config_of(self._jobs, parameters)
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

    def _turns_of(self, replacement: Replacement) -> Turns:
        table, day = replacement.table, replacement.day
        if not _FIRST_DAY <= day <= _LAST_DAY:
            raise EngagementError(
                f"BigQuery has no partition for {day}: rows before {_FIRST_DAY} and after {_LAST_DAY} share one.",
                "Set ENGAGEMENT_FIRST_DAY to a later day; correct such rows with a DELETE in BigQuery.",
            )
        self._tables.now(table)
        if (table.name, day) not in self._turns:
            name = f"engagement_{table.name}_{day:%Y%m%d}_{digest(self._tables.identity(table))}"
            self._turns[table.name, day] = Turns(self._jobs, name)
        return self._turns[table.name, day]

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
        names = [field.name for field in self._tables.now(table).schema]
        if names != [field.name for field in schema]:
            raise Conflict(f"{table.name} has got other columns meanwhile: {', '.join(names)}")

    def _partition(self, replacement: Replacement) -> bigquery.TableReference:
        address = self._jobs.address
        dataset = bigquery.DatasetReference(address.project, address.dataset)
        return dataset.table(f"{replacement.table.name}${replacement.day:%Y%m%d}")

    def _rows_of(self, job: Job) -> int:
        """Return how many rows a job has written."""
        if isinstance(job, bigquery.LoadJob):
            return int(job.output_rows or 0)
        with explained(str(self._jobs.address), "counting the rows of a query"):
            patience = self._jobs.patience
            answer = job.result(max_results=0, retry=self._jobs.retry, timeout=patience.request, job_retry=None)
            return int(answer.total_rows or 0)


def _key(replacement: Replacement) -> tuple[str, date, int]:
    """Return what names a replacement, whatever the attempt."""
    return replacement.table.name, replacement.day, replacement.number
