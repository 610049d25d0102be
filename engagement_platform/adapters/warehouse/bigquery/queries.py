"""Queries: typed parameters, bare names of tables, nothing that changes something."""

from collections.abc import Mapping
from datetime import date, datetime

import pyarrow as pa
from google.cloud import bigquery

from engagement_platform.adapters.warehouse.bigquery.failures import blaming_sql, explained
from engagement_platform.adapters.warehouse.bigquery.jobs import Jobs
from engagement_platform.adapters.warehouse.port import Parameter, QueryFailed


def answer(jobs: Jobs, sql: str, parameters: Mapping[str, Parameter]) -> pa.Table:
    """Return the answer to a SELECT. Raises QueryFailed.

    What kind of statement it is, BigQuery says itself, in a dry run that costs nothing. What a query may read is not
    limited: the filter on the day, which the tables require, is what keeps an answer from reading everything.
    """
    jobs.location  # noqa: B018 - a missing dataset is no fault of the query
    with explained(str(jobs.address), "a query"), blaming_sql():
        trial = jobs.query(sql, None, config(jobs, parameters, dry_run=True))
        if trial.statement_type != "SELECT":
            raise QueryFailed("Only one SELECT is answered, nothing that changes something.", "Write a single SELECT.")
        rows = jobs.query(sql, None, config(jobs, parameters)).result(
            retry=jobs.retry, timeout=jobs.patience.job, job_retry=None
        )
        return rows.to_arrow(create_bqstorage_client=False)


def config(jobs: Jobs, parameters: Mapping[str, Parameter], dry_run: bool = False) -> bigquery.QueryJobConfig:
    """Return how a query is run: GoogleSQL, its tables in the platform's dataset."""
    made = bigquery.QueryJobConfig(
        default_dataset=bigquery.DatasetReference(jobs.address.project, jobs.address.dataset),
        query_parameters=[
            bigquery.ScalarQueryParameter(name, _kind(value), value) for name, value in parameters.items()
        ],
        use_legacy_sql=False,
    )
    if dry_run:
        made.dry_run, made.use_query_cache = True, False
    return made


def _kind(value: Parameter) -> str:
    if isinstance(value, datetime):
        return "DATETIME" if value.tzinfo is None else "TIMESTAMP"
    if isinstance(value, date):
        return "DATE"
    if isinstance(value, bool):
        return "BOOL"
    return "INT64" if isinstance(value, int) else "STRING"
