"""Jobs of BigQuery: sent once under an id of ours, found again under it, waited for.

BigQuery keeps the id of every job, whatever its type and outcome, and refuses another job under it. So a job whose
answer was lost is looked up, never sent under a new id.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from functools import cached_property
from typing import IO, TypeAlias

import pyarrow as pa
from google.api_core import exceptions as google
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery import DEFAULT_RETRY

from engagement_platform.adapters.warehouse.bigquery.client import DatasetAddress, Patience
from engagement_platform.adapters.warehouse.bigquery.failures import blaming_sql, explained
from engagement_platform.adapters.warehouse.port import LoadFailed, Parameter, QueryFailed
from engagement_platform.domain.errors import EngagementError, Unavailable

Job: TypeAlias = bigquery.LoadJob | bigquery.QueryJob

MAX_ERRORS_SHOWN = 20
_TRANSIENT = {
    *("backendError", "internalError", "jobBackendError", "jobInternalError", "tableUnavailable", "timeout"),
    *("rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded", "resourcesExceeded", "stopped"),
}
"""Reasons for which the same content may succeed under another id."""


class Jobs:
    """The jobs of one project, in the location of the dataset."""

    def __init__(self, client: bigquery.Client, address: DatasetAddress, patience: Patience) -> None:
        self.client = client
        self.address = address
        self.patience = patience

    @property
    def retry(self) -> Retry:
        """How requests are tried again."""
        return DEFAULT_RETRY.with_timeout(self.patience.retries)

    @cached_property
    def location(self) -> str:
        """Where the dataset is, and so its jobs. BigQuery finds a job only by this."""
        with explained(str(self.address), "reading the dataset"):
            reference = bigquery.DatasetReference(self.address.project, self.address.dataset)
            return str(self.client.get_dataset(reference, retry=self.retry, timeout=self.patience.request).location)

    def find(self, job_id: str) -> Job | None:
        """Return the job of that id as it is now, or None."""
        with explained(str(self.address), "looking up a job"):
            try:
                job = self.client.get_job(
                    job_id, location=self.location, retry=self.retry, timeout=self.patience.request
                )
            except google.NotFound:
                return None
        if not isinstance(job, bigquery.LoadJob | bigquery.QueryJob):
            raise EngagementError(f"Job {job_id} in {self.address} is not the platform's.", "Look who made it.")
        return job

    def once(self, job_id: str, send: Callable[[], Job], doing: str) -> Job:
        """Send a job, unless its id is taken, and return the job of that id when it has ended."""
        return self.ended(self.sent(job_id, send, doing))

    def sent(self, job_id: str, send: Callable[[], Job], doing: str) -> Job:
        """Send a job, unless its id is taken, and return the job of that id, whoever sent it."""
        refused: float | None = None
        while True:
            with explained(str(self.address), doing), suppress(google.Conflict):  # the id is taken, whoever did it
                return send()
            # The look-up can be behind the refusal: then it finds nothing, and the job is sent, and refused, again.
            # Its limit begins with the refusal: an upload alone can take longer.
            refused = refused or time.monotonic()
            if (job := self.find(job_id)) is not None:
                return job
            if time.monotonic() > refused + self.patience.retries:
                raise Unavailable(
                    f"BigQuery says that job {job_id} exists, but does not find it.", "It is tried again."
                )
            time.sleep(self.patience.poll)

    def ended(self, job: Job) -> Job:
        """Wait until a job has ended, well or not. Raises Unavailable when it takes too long; it goes on then."""
        deadline = time.monotonic() + self.patience.job
        pause = self.patience.poll
        while job.state != "DONE":
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Job {job.job_id} in {self.address} has not ended in {self.patience.job:.0f} s.",
                    "It is looked at again; BigQuery's console shows what it waits for.",
                )
            time.sleep(pause)
            pause = min(pause * 1.5, self.patience.poll * 25)
            with explained(str(self.address), "looking up a job"):
                job.reload(retry=self.retry, timeout=self.patience.request)
        return job

    def load(
        self, file: IO[bytes], size: int, destination: bigquery.TableReference, job_id: str, job: bigquery.LoadJobConfig
    ) -> bigquery.LoadJob:
        """Send a file to be loaded. Raises Google's errors, Conflict among them."""
        return self.client.load_table_from_file(
            file,
            destination,
            rewind=True,
            size=size,
            num_retries=self.patience.uploads,
            job_id=job_id,
            location=self.location,
            job_config=job,
            timeout=self.patience.request,
        )

    def query(self, sql: str, job_id: str | None, job: bigquery.QueryJobConfig) -> bigquery.QueryJob:
        """Send a query. Raises Google's errors, Conflict among them."""
        return self.client.query(
            sql,
            job_config=job,
            job_id=job_id,
            location=self.location,
            retry=self.retry,
            timeout=self.patience.request,
            job_retry=None,  # a job that failed is never sent again behind our back, under whatever id
        )


def digest(text: str) -> str:
    """Return what stands for a text in the ids and labels of jobs."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def failure_of(job: Job, told: Callable[[str], str] = str) -> LoadFailed | QueryFailed | None:
    """Return why a job that has ended failed, or None.

    `rows` are BigQuery's errors, each passed through `told`, where the content is to blame, and empty where the same
    content may succeed under a higher attempt.
    """
    if job.error_result is None:
        return None
    reason = str(job.error_result.get("reason", ""))
    what = f"Job {job.job_id} failed ({reason}): {str(job.error_result.get('message', '')).rstrip('.')}."
    if reason in _TRANSIENT:
        return LoadFailed(what, "The table is as it was. It can be tried again under a higher attempt.")
    if reason == "invalidQuery":
        return QueryFailed(what, "The table is as it was.")
    errors = [error for error in job.errors or [] if error != job.error_result] or [job.error_result]
    rows = tuple(told(_line_of(error)) for error in errors[:MAX_ERRORS_SHOWN])
    return LoadFailed(what, "The table is as it was.", rows)


def _line_of(error: dict[str, str]) -> str:
    return ": ".join(str(error[part]) for part in ("reason", "location", "message") if error.get(part))


def answer(jobs: Jobs, sql: str, parameters: Mapping[str, Parameter]) -> pa.Table:
    """Return the answer to a SELECT. Raises QueryFailed.

    What kind of statement it is, BigQuery says itself, in a dry run that costs nothing. What a query may read is not
    limited: the filter on the day, which the tables require, is what keeps an answer from reading everything.
    """
    jobs.location  # noqa: B018 - a missing dataset is no fault of the query
    with explained(str(jobs.address), "a query"), blaming_sql():
        trial = jobs.query(sql, None, config_of(jobs, parameters, dry_run=True))
        if trial.statement_type != "SELECT":
            raise QueryFailed("Only one SELECT is answered, nothing that changes something.", "Write a single SELECT.")
        rows = jobs.query(sql, None, config_of(jobs, parameters)).result(
            retry=jobs.retry, timeout=jobs.patience.job, job_retry=None
        )
        return rows.to_arrow(create_bqstorage_client=False)


def config_of(jobs: Jobs, parameters: Mapping[str, Parameter], dry_run: bool = False) -> bigquery.QueryJobConfig:
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
