"""Jobs: accepted once under their id, run, remembered whatever became of them."""

import re
import threading
import uuid
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in import files, sql
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import STATUS, ApiError, JobError
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.faults import Faults
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.quotas import Quotas
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.tables import Stored, Tables, partition_of
from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.values import parameter

_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_AT_ONCE = ("invalidQuery", "notFound", "required", "notImplemented")
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")


@dataclass
class Run:
    """One job: its resource, as the API shows it, and its answer when it is a query."""

    resource: dict[str, Any]
    answer: sql.Answer | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, error: JobError | None = None, **statistics: Any) -> None:
        status: dict[str, Any] = {"state": "DONE"}
        if error is not None:
            status |= {"errorResult": error.result, "errors": error.errors}
        self.resource["statistics"] |= statistics
        self.resource["status"] = status
        self.ended.set()


class Jobs:
    """All jobs of one project."""

    def __init__(self, tables: Tables, quotas: Quotas, faults: Faults) -> None:
        self._tables = tables
        self._quotas = quotas
        self._faults = faults
        self._runs: dict[str, Run] = {}
        self.threads: list[threading.Thread] = []

    def get(self, job_id: str, location: str | None) -> Run:
        """Return a job. Outside US and EU it is found by its location only.

        https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/get
        """
        if self._faults.hidden > 0 and job_id in self._runs:
            self._faults.hidden -= 1
            raise ApiError("notFound", f"Not found: Job {self._tables.project}:{job_id}")
        run = self._runs.get(job_id)
        where = run.resource["jobReference"]["location"] if run else ""
        if run is None or (location or where).upper() != where.upper() or (not location and where not in ("US", "EU")):
            raise ApiError("notFound", f"Not found: Job {self._tables.project}:{location or 'US'}.{job_id}")
        return run

    def check_free(self, resource: dict[str, Any]) -> None:
        """Refuse an id that a job has, whatever its type and however it ended.

        https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid
        """
        reference = resource.get("jobReference") or {}
        job_id = reference.get("jobId")
        if job_id is not None and not _ID.fullmatch(job_id):
            raise ApiError("invalid", f"Invalid job ID {job_id!r}")
        if job_id in self._runs:
            raise ApiError("duplicate", f"Already Exists: Job {self._tables.project}:{job_id}")

    def insert(self, resource: dict[str, Any], data: bytes | None = None) -> Run:
        """Accept a job and run it. https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert"""
        configuration = resource["configuration"]
        self._check_labels(configuration.get("labels") or {})
        if configuration.get("dryRun"):
            return self._dry_run(resource)
        with self._tables.lock:
            self.check_free(resource)
            destination = self._destination(configuration)
            run = self._accept(resource)
        if self._faults.held:
            self._run_later(run, self._faults.held.pop(0), destination, data)
        else:
            self._run(run, destination, data)
            self._refuse_bad_query(run)
        return run

    def _accept(self, resource: dict[str, Any]) -> Run:
        """Remember a job. Its location is that of its dataset."""
        configuration = resource["configuration"]
        reference = dict(resource.get("jobReference") or {})
        location = self._tables.dataset(self._dataset_of(configuration))["location"]
        if (reference.get("location") or location).upper() != location.upper():
            raise ApiError("notFound", f"Not found: Dataset was not found in location {reference['location']}")
        reference |= {"jobId": reference.get("jobId") or uuid.uuid4().hex, "location": location}
        reference["projectId"] = self._tables.project
        run = Run(
            {
                "jobReference": reference,
                "configuration": configuration,
                "statistics": {"creationTime": "0"},
                "status": {"state": "RUNNING"},
            }
        )
        self._runs[reference["jobId"]] = run
        return run

    def _dataset_of(self, configuration: dict[str, Any]) -> str:
        """Return the dataset that decides where the job runs; a query that names none runs where the only one is."""
        if "load" in configuration:
            return str(configuration["load"]["destinationTable"]["datasetId"])
        if "defaultDataset" in configuration["query"]:
            return str(configuration["query"]["defaultDataset"]["datasetId"])
        return self._tables.any_dataset()

    def _destination(self, configuration: dict[str, Any]) -> tuple[Stored, str | None] | None:
        """Return the table and the decorator that a job writes to, once its quota has admitted the job."""
        wanted = (configuration.get("load") or configuration.get("query") or {}).get("destinationTable")
        if wanted is None:
            return None
        name, _, decorator = wanted["tableId"].partition("$")
        stored = self._tables.table(wanted["datasetId"], name)
        self._quotas.admit(stored.name, stored.day_column is not None)
        return stored, decorator or None

    def _check_labels(self, labels: dict[str, str]) -> None:
        """https://cloud.google.com/bigquery/docs/labels-intro#requirements"""
        if len(labels) > 64 or not all(_LABEL.fullmatch(text) for pair in labels.items() for text in pair):
            raise ApiError("invalid", f"Invalid labels: {labels}")

    def _run_later(
        self, run: Run, event: threading.Event, destination: tuple[Stored, str | None] | None, data: bytes | None
    ) -> None:
        def wait() -> None:
            event.wait()
            self._run(run, destination, data)

        thread = threading.Thread(target=wait, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _run(self, run: Run, destination: tuple[Stored, str | None] | None, data: bytes | None) -> None:
        partitions: set[str] = set()
        with self._tables.lock:
            try:
                if "load" in run.resource["configuration"]:
                    self._load(run, destination, data, partitions)
                else:
                    self._query(run, destination, partitions)
            except JobError as error:
                run.end(error)
            except ApiError as error:
                run.end(JobError(error.reason, error.message))
            finally:
                if destination is not None:
                    stored = destination[0]
                    self._quotas.count(stored.name, stored.day_column is not None, len(partitions))

    def _refuse_bad_query(self, run: Run) -> None:
        """A query whose SQL is wrong is refused at once; its job is there all the same."""
        error = run.resource["status"].get("errorResult") or {"reason": ""}
        if "query" in run.resource["configuration"] and error["reason"] in _AT_ONCE:
            raise ApiError(error["reason"], error["message"])

    def _load(
        self, run: Run, destination: tuple[Stored, str | None] | None, data: bytes | None, partitions: set[str]
    ) -> None:
        config = run.resource["configuration"]["load"]
        if destination is None or data is None:
            raise JobError("notImplemented", "The stand-in loads what is uploaded with the job")
        rows = files.read(destination[0], config.get("sourceFormat", "CSV"), data, config)
        self._write(rows, destination, config.get("writeDisposition", "WRITE_APPEND"), partitions)
        run.end(load={"outputRows": str(rows.num_rows), "badRecords": "0"})

    def _query(self, run: Run, destination: tuple[Stored, str | None] | None, partitions: set[str]) -> None:
        config = run.resource["configuration"]["query"]
        kind, statement = sql.parsed(config.get("query", ""))
        statistics = {"statementType": kind}
        if kind != "SELECT":
            if destination is not None or statement is None:
                raise JobError("invalidQuery", f"Cannot set destination table in jobs with {kind} statements")
            sql.change(self._tables, self._dataset_of({"query": config}), statement)
            run.end(query=statistics)
            return
        run.answer = sql.select(
            self._tables, self._dataset_of({"query": config}), config.get("query", ""), _parameters(config)
        )
        if destination is not None:
            rows = self._as_stored(run.answer, destination[0])
            self._write(rows, destination, config.get("writeDisposition", "WRITE_EMPTY"), partitions)
        run.end(query=statistics)

    def _as_stored(self, answer: sql.Answer, stored: Stored) -> Any:
        """Return an answer as rows of its table: same names and types; its columns are NULLABLE.

        https://cloud.google.com/bigquery/docs/managing-table-schemas: a query that writes to a table, or to one
        partition, may change no type, and make a REQUIRED column NULLABLE or add one only when told so.
        """
        fields = {field["name"]: field for field in answer.fields}
        failed = f"Provided Schema does not match Table {stored.name}."
        for wanted in stored.fields:
            name, given = wanted["name"], fields.get(wanted["name"])
            if given is None:
                raise JobError("invalid", f"{failed} Field {name} is missing in new schema")
            if given["type"] != wanted["type"]:
                raise JobError(
                    "invalid", f"{failed} Field {name} has changed type from {wanted['type']} to {given['type']}"
                )
            if wanted["mode"] == "REQUIRED":
                raise JobError("invalid", f"{failed} Field {name} has changed mode from REQUIRED to NULLABLE")
        if len(fields) != len(stored.fields):
            raise JobError("invalid", f"{failed} Cannot add fields")
        return answer.rows.select(stored.schema.names)

    def _write(self, rows: Any, destination: tuple[Stored, str | None], disposition: str, partitions: set[str]) -> None:
        """Write rows, routed by the partitioning column; with a decorator all must be of its partition.

        https://cloud.google.com/bigquery/docs/load-data-partitioned-tables: 'the partition ID specified in the
        decorator must match the data being written'. WRITE_TRUNCATE replaces the partition of the decorator.
        """
        stored, decorator = destination
        touched = self._tables.partitions(stored, rows)
        if decorator is not None:
            _check_decorator(stored, decorator, touched)
            touched = {decorator}
        partitions |= touched
        if self._faults.failing:
            reason, message = self._faults.failing.pop(0)
            self._tables.write(stored, rows, None, stop_half_way=True)
            raise JobError(reason, message)
        self._quotas.check_partitions(len(touched), len(touched | self._tables.partitions(stored)))
        if disposition == "WRITE_EMPTY":
            raise JobError("duplicate", f"Already Exists: Table {stored.name}")
        if disposition == "WRITE_TRUNCATE" and decorator is None:
            raise JobError("notImplemented", "The stand-in truncates partitions only")
        if disposition not in ("WRITE_TRUNCATE", "WRITE_APPEND"):
            raise JobError("invalid", f"Unknown write disposition {disposition}")
        self._tables.write(stored, rows, decorator if disposition == "WRITE_TRUNCATE" else None)

    def _dry_run(self, resource: dict[str, Any]) -> Run:
        """Say what kind of statement a query is, and that it could run, without a job that anyone finds again.

        https://cloud.google.com/bigquery/docs/running-queries#dry-run
        """
        config = resource["configuration"]["query"]
        with self._tables.lock:
            kind, statement = sql.parsed(config.get("query", ""))
            if statement is not None and kind == "SELECT":
                sql.select(
                    self._tables, self._dataset_of({"query": config}), config.get("query", ""), _parameters(config)
                )
        run = Run(resource | {"jobReference": {"projectId": self._tables.project, "location": "US"}, "statistics": {}})
        run.end(query={"statementType": kind, "totalBytesProcessed": "0"})
        return run


def _check_decorator(stored: Stored, decorator: str, touched: set[str]) -> None:
    if stored.day_column is None or not re.fullmatch(r"\d{8}", decorator):
        raise JobError("invalid", f"Invalid partition decorator ${decorator} for {stored.name}")
    day = _day(decorator)
    if partition_of(day) != decorator:
        raise JobError("invalid", f"{decorator} is no partition that can be written to")
    wrong = sorted(touched - {decorator})
    if wrong:
        raise JobError(
            "invalid",
            f"Some rows belong to different partitions rather than destination partition {stored.name}${decorator}: "
            f"{', '.join(wrong[:5])}",
        )


def _day(decorator: str) -> date:
    try:
        return date(int(decorator[:4]), int(decorator[4:6]), int(decorator[6:]))
    except ValueError as error:
        raise JobError("invalid", f"Invalid date partitioned table name: {decorator}") from error


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    if config.get("useLegacySql") is not False:
        raise ApiError("notImplemented", "The stand-in knows GoogleSQL only")
    return {
        one["name"]: parameter(one["parameterType"]["type"], one["parameterValue"].get("value"))
        for one in config.get("queryParameters") or []
    }


def raised(run: Run) -> None:
    """Answer for a failed query as getQueryResults does: with its error."""
    error = run.resource["status"].get("errorResult")
    if error is not None:
        raise ApiError(error["reason"] if error["reason"] in STATUS else "internalError", error["message"])
