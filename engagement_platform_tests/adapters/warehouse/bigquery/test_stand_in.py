"""The stand-in's own rules, seen by Google's client."""

import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from google.api_core import exceptions as google
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.server import StandIn
from engagement_platform_tests.adapters.warehouse.rows import DAY, NEXT_DAY

SCHEMA = [
    bigquery.SchemaField("id", "INT64", "REQUIRED"),
    bigquery.SchemaField("at", "TIMESTAMP", "REQUIRED"),
    bigquery.SchemaField("price", "NUMERIC"),
    bigquery.SchemaField("name", "STRING"),
]
NOON = f"{DAY}T12:00:00Z"
NEXT_NOON = f"{NEXT_DAY}T12:00:00Z"
ROW = {"id": 1, "at": NOON, "price": 1.25, "name": "a"}


class Project:
    """A client, and short names for what the tests do with it."""

    def __init__(self, stand_in: StandIn, location: str | None = "EU") -> None:
        self.client = bigquery.Client(
            project=stand_in.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            location=location,
            client_options={"api_endpoint": stand_in.address},
        )

    def prepare(self, partitioned: bool = True, name: str = "t") -> None:
        dataset = bigquery.Dataset(f"{self.client.project}.d")
        dataset.location = "EU"
        self.client.create_dataset(dataset, exists_ok=True)
        table = bigquery.Table(f"{self.client.project}.d.{name}", schema=SCHEMA)
        if partitioned:
            table.time_partitioning = bigquery.TimePartitioning(field="at")
            table.require_partition_filter = True
        self.client.create_table(table)

    def send(self, *rows: Any, to: str = "t", job_id: str | None = None, **config: Any) -> bigquery.LoadJob:
        lines = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
        file = io.BytesIO(lines.encode())
        settings = {"source_format": "NEWLINE_DELIMITED_JSON", "write_disposition": "WRITE_APPEND"} | config
        return self.client.load_table_from_file(
            file,
            f"d.{to}",
            job_id=job_id,
            size=len(lines.encode()),
            num_retries=0,
            job_config=bigquery.LoadJobConfig(**settings),
        )

    def load(self, *rows: Any, **options: Any) -> bigquery.LoadJob:
        job = self.send(*rows, **options)
        job.result()
        return job

    def refuse(self, *rows: Any, **options: Any) -> list[dict[str, str]]:
        """Load what must fail; return the errors of the job."""
        job = self.send(*rows, **options)
        with pytest.raises(google.GoogleAPICallError):
            job.result()
        assert job.errors is not None
        return list(job.errors)

    def query(self, sql: str, **config: Any) -> list[tuple[Any, ...]]:
        settings = bigquery.QueryJobConfig(default_dataset=f"{self.client.project}.d", **config)
        return [row.values() for row in self.client.query(sql, job_config=settings, job_retry=None).result()]

    def ids(self) -> list[int]:
        return [row[0] for row in self.query("SELECT id FROM t WHERE at >= '0001-01-01' ORDER BY id")]


@pytest.fixture
def project(stand_in: StandIn) -> Project:
    made = Project(stand_in)
    made.prepare()
    return made


class TestJobs:
    def test_an_id_is_used_once_whatever_the_type_and_the_outcome(self, project: Project) -> None:
        project.load(ROW, job_id="good")
        project.refuse({"id": None}, job_id="bad")
        for taken in ("good", "bad"):
            with pytest.raises(google.Conflict):
                project.send(ROW, job_id=taken)
            with pytest.raises(google.Conflict):
                project.client.query("SELECT 1", job_id=taken, job_retry=None)
        assert project.ids() == [1]

    def test_a_query_that_is_wrong_uses_its_id_up(self, project: Project) -> None:
        with pytest.raises(google.BadRequest):
            project.client.query("SELEC", job_id="wrong", job_retry=None)
        assert project.client.get_job("wrong").error_result["reason"] == "invalidQuery"

    def test_of_many_with_one_id_one_is_accepted(self, project: Project) -> None:
        accepted: list[bool] = []

        def send() -> None:
            try:
                project.send(ROW, job_id="same").result()
                accepted.append(True)
            except google.Conflict:
                accepted.append(False)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(accepted) == [False] * 7 + [True]
        assert project.ids() == [1]

    @pytest.mark.parametrize("job_id", ["a.b", "a b", "é", "x" * 1_025])
    def test_an_id_has_few_characters(self, project: Project, job_id: str) -> None:
        with pytest.raises(google.BadRequest):
            project.send(ROW, job_id=job_id)

    def test_a_job_is_found_by_its_location_only(self, stand_in: StandIn, project: Project) -> None:
        project.load(ROW, job_id="here")
        assert project.client.get_job("here").state == "DONE"
        with pytest.raises(google.NotFound):
            project.client.get_job("here", location="US")
        with pytest.raises(google.NotFound):
            project.client.get_job("there")

    def test_a_job_is_under_way_until_it_has_ended(self, stand_in: StandIn, project: Project) -> None:
        held = threading.Event()
        stand_in.faults.held.append(held)
        job = project.send(ROW)
        assert job.state == "RUNNING"
        assert project.ids() == []
        held.set()
        job.result()
        assert project.ids() == [1]

    def test_a_job_that_fails_half_way_changes_nothing(self, stand_in: StandIn, project: Project) -> None:
        project.load(ROW)
        stand_in.faults.failing.append(("backendError", "Try again."))
        errors = project.refuse(
            *[ROW | {"id": number} for number in range(10)], to="t$20240801", write_disposition="WRITE_TRUNCATE"
        )
        assert errors[0]["reason"] == "backendError"
        assert project.ids() == [1]

    def test_a_dropped_answer_leaves_the_job(self, stand_in: StandIn, project: Project) -> None:
        stand_in.faults.dropped["jobs.insert"] = 1
        with pytest.raises(requests.ConnectionError):
            project.send(ROW, job_id="lost")
        assert project.client.get_job("lost").state == "DONE"
        assert project.ids() == [1]

    @pytest.mark.parametrize("labels", [{"Upper": "x"}, {"key": "Upper"}, {"key": "x" * 64}])
    def test_labels_are_checked(self, project: Project, labels: dict[str, str]) -> None:
        with pytest.raises(google.BadRequest):
            project.query("SELECT 1", labels=labels)

    def test_labels_are_kept(self, project: Project) -> None:
        project.load(ROW, job_id="labelled", labels={"number": "7"})
        assert project.client.get_job("labelled").labels == {"number": "7"}


class TestLines:
    @pytest.mark.parametrize(
        ("column", "given", "stored"),
        [
            ("id", "9223372036854775807", (1 << 63) - 1),
            ("id", (1 << 53) + 1, 1 << 53),
            ("price", "9007199254740993.01", Decimal("9007199254740993.01")),
            ("price", "-0.000000001", Decimal("-0.000000001")),
            ("price", None, None),
            ("at", "0001-01-01 00:00:00 UTC", datetime(1, 1, 1, tzinfo=UTC)),
            ("at", "9999-12-31T23:59:59.999999+00:00", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
            ("at", "2024-08-01T12:00:00+02:00", datetime(2024, 8, 1, 10, tzinfo=UTC)),
        ],
    )
    def test_value(self, project: Project, column: str, given: Any, stored: Any) -> None:
        project.load(ROW | {column: given})
        assert project.query(f"SELECT {column} FROM t WHERE at >= '0001-01-01'") == [(stored,)]

    @pytest.mark.parametrize(
        "bad",
        [
            {"id": "seven"},
            {"id": 1.5},
            {"id": True},
            {"id": None},
            {"id": str(1 << 63)},
            {"at": "yesterday"},
            {"at": "2024-08-01T12:00:00.1234567Z"},
            {"at": "10000-01-01T00:00:00Z"},
            {"at": None},
            {"price": "1e29"},
            {"price": "0.0000000001"},
            {"price": "NaN"},
            {"name": ["a"]},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_a_bad_value_fails_the_whole_file(self, project: Project, bad: dict[str, Any]) -> None:
        _, error = project.refuse(ROW, ROW | bad, ROW)
        assert error["reason"] == "invalid"
        assert f"position {len(json.dumps(ROW)) + 1}:" in error["message"]
        assert next(iter(bad)) in error["message"]
        assert project.ids() == []

    def test_every_bad_row_is_told(self, project: Project) -> None:
        errors = project.refuse(ROW, {"id": 1}, "no object\n", ROW, ROW | {"more": 1})
        assert "errors: 3" in errors[0]["message"]
        assert len(errors) == 4

    def test_a_missing_optional_column_is_null(self, project: Project) -> None:
        project.load({"id": 1, "at": NOON})
        assert project.query("SELECT price, name FROM t WHERE DATE(at) = '2024-08-01'") == [(None, None)]

    def test_an_empty_file(self, project: Project) -> None:
        assert project.load().output_rows == 0

    def test_the_schema_may_not_differ(self, project: Project) -> None:
        changed = [bigquery.SchemaField("id", "STRING", "REQUIRED"), *SCHEMA[1:]]
        assert "does not match" in project.refuse(ROW, schema=changed)[0]["message"]
        assert "does not match" in project.refuse(ROW, schema=SCHEMA[:-1])[0]["message"]
        project.load(ROW, schema=SCHEMA, time_partitioning=bigquery.TimePartitioning(field="at"))
        assert project.refuse(ROW, time_partitioning=bigquery.TimePartitioning(field="loaded"))


class TestParquet:
    def send(self, project: Project, columns: dict[str, pa.Array], required: tuple[str, ...] = ("id", "at")) -> Any:
        schema = pa.schema([pa.field(name, c.type, nullable=name not in required) for name, c in columns.items()])
        file = io.BytesIO()
        pq.write_table(pa.table(list(columns.values()), schema=schema), file)
        config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        return project.client.load_table_from_file(file, "d.t", rewind=True, job_config=config)

    def columns(self) -> dict[str, pa.Array]:
        return {
            "id": pa.array([1], pa.int64()),
            "at": pa.array([datetime(2024, 8, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
            "price": pa.array([Decimal("1.25")], pa.decimal128(18, 2)),
            "name": pa.array(["a"]),
        }

    def test_rows(self, project: Project) -> None:
        assert self.send(project, self.columns()).result().output_rows == 1
        assert project.query("SELECT price, name FROM t WHERE at >= '2024-01-01'") == [(Decimal("1.25"), "a")]

    @pytest.mark.parametrize(
        "change",
        [
            {"id": pa.array(["1"])},
            {"at": pa.array([0], pa.timestamp("us"))},
            {"price": pa.array([Decimal(1)], pa.decimal128(38, 10))},
            {"more": pa.array([1])},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_other_columns_fail(self, project: Project, change: dict[str, pa.Array]) -> None:
        with pytest.raises(google.BadRequest):
            self.send(project, self.columns() | change).result()
        assert project.ids() == []

    def test_a_required_column_that_may_be_null_fails(self, project: Project) -> None:
        with pytest.raises(google.BadRequest, match="from REQUIRED to NULLABLE"):
            self.send(project, self.columns(), required=("at",)).result()

    def test_what_is_no_parquet_fails(self, project: Project) -> None:
        assert project.refuse(ROW, source_format="PARQUET")[0]["reason"] == "invalid"


class TestPartitions:
    def test_rows_are_routed_by_the_column(self, stand_in: StandIn, project: Project) -> None:
        project.load(ROW, ROW | {"id": 2, "at": NEXT_NOON}, ROW | {"id": 3, "at": "1959-12-31T00:00:00Z"})
        stored = stand_in.tables.table("d", "t")
        assert stand_in.tables.partitions(stored) == {"20240801", "20240802", "__UNPARTITIONED__"}

    def test_a_decorator_replaces_its_day_and_no_other(self, project: Project) -> None:
        project.load(ROW, ROW | {"id": 2, "at": NEXT_NOON})
        project.load(ROW | {"id": 3}, to="t$20240801", write_disposition="WRITE_TRUNCATE")
        assert project.ids() == [2, 3]
        project.load(to="t$20240802", write_disposition="WRITE_TRUNCATE")
        assert project.ids() == [3]

    @pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_APPEND"])
    def test_a_row_of_another_day_fails_the_job(self, project: Project, disposition: str) -> None:
        project.load(ROW)
        errors = project.refuse(
            ROW | {"id": 2}, ROW | {"at": NEXT_NOON}, to="t$20240801", write_disposition=disposition
        )
        assert "different partitions" in errors[0]["message"]
        assert project.ids() == [1]

    @pytest.mark.parametrize("decorator", ["2024", "20241301", "19591231", "21600101", "__NULL__"])
    def test_a_decorator_that_is_no_day(self, project: Project, decorator: str) -> None:
        project.refuse(to=f"t${decorator}", write_disposition="WRITE_TRUNCATE")

    def test_a_table_without_partitions_has_no_decorators(self, project: Project) -> None:
        project.prepare(partitioned=False, name="plain")
        project.refuse(ROW, to="plain$20240801", write_disposition="WRITE_TRUNCATE")

    @pytest.mark.parametrize(
        "condition",
        [
            "at >= '2024-01-01'",
            "DATE(at) = '2024-08-01'",
            "at BETWEEN '2024-01-01' AND '2025-01-01' AND id = 1",
            "TIMESTAMP_TRUNC(at, DAY) = '2024-08-01'",
            "(at < '2025-01-01' OR DATE(at) = '2025-01-01')",
        ],
    )
    def test_a_filter_on_the_column_is_enough(self, project: Project, condition: str) -> None:
        project.load(ROW)
        assert project.query(f"SELECT id FROM t WHERE {condition}") == [(1,)]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT id FROM t",
            "SELECT id FROM t WHERE id = 1",
            "SELECT id FROM t WHERE at >= '2024-01-01' OR id = 1",
            "SELECT id FROM t WHERE at = at",
            "SELECT id FROM t WHERE EXTRACT(YEAR FROM at) = 2024",
            "SELECT id FROM (SELECT id, at FROM t) WHERE at >= '2024-01-01'",
            "SELECT a.id FROM t a JOIN t b ON a.id = b.id WHERE a.at >= '2024-01-01'",
            "DELETE FROM t WHERE TRUE",
        ],
    )
    def test_without_a_filter_a_query_is_refused(self, project: Project, sql: str) -> None:
        with pytest.raises(google.BadRequest, match="partition elimination"):
            project.query(sql)


class TestQueriesIntoTables:
    @pytest.fixture
    def destination(self, project: Project) -> Callable[[str], dict[str, Any]]:
        table = bigquery.Table(f"{project.client.project}.d.m")
        table.schema = [bigquery.SchemaField("day", "DATE"), bigquery.SchemaField("n", "INT64")]
        table.time_partitioning = bigquery.TimePartitioning(field="day")
        project.client.create_table(table)
        return lambda name: {"destination": f"{project.client.project}.d.{name}"}

    def test_a_day_is_replaced(self, project: Project, destination: Callable[[str], dict[str, Any]]) -> None:
        for n in (1, 2):
            sql = f"SELECT DATE '2024-08-01' AS day, {n} AS n"
            project.query(sql, write_disposition="WRITE_TRUNCATE", **destination("m$20240801"))
        assert project.query("SELECT * FROM m") == [(DAY, 2)]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT DATE '2024-08-02' AS day, 1 AS n",
            "SELECT DATE '2024-08-01' AS day",
            "SELECT DATE '2024-08-01' AS day, 1.5 AS n",
            "SELECT DATE '2024-08-01' AS day, 1 AS n, 2 AS more",
        ],
    )
    def test_other_days_columns_and_types_fail(
        self, project: Project, destination: Callable[[str], dict[str, Any]], sql: str
    ) -> None:
        with pytest.raises(google.BadRequest):
            project.query(sql, write_disposition="WRITE_TRUNCATE", **destination("m$20240801"))
        assert project.query("SELECT * FROM m") == []

    def test_a_result_does_not_fit_required_columns(
        self, project: Project, destination: Callable[[str], dict[str, Any]]
    ) -> None:
        sql = f"SELECT 1 AS id, TIMESTAMP '{NOON}' AS at, NUMERIC '1' AS price, 'a' AS name"
        with pytest.raises(google.BadRequest, match="from REQUIRED to NULLABLE"):
            project.query(sql, write_disposition="WRITE_TRUNCATE", **destination("t$20240801"))

    def test_by_default_a_query_overwrites_nothing(
        self, project: Project, destination: Callable[[str], dict[str, Any]]
    ) -> None:
        with pytest.raises(google.Conflict):
            project.query("SELECT DATE '2024-08-01' AS day, 1 AS n", **destination("m$20240801"))


class TestQueries:
    @pytest.mark.parametrize(
        ("sql", "kind"),
        [
            ("SELECT 1", "SELECT"),
            ("WITH a AS (SELECT 1 AS b) SELECT b FROM a", "SELECT"),
            ("DELETE FROM t WHERE at > '2024-01-01'", "DELETE"),
            ("DROP TABLE t", "DROP_TABLE"),
            ("SELECT 1; SELECT 2", "SCRIPT"),
        ],
    )
    def test_a_dry_run_says_what_a_statement_is_and_runs_nothing(self, project: Project, sql: str, kind: str) -> None:
        project.load(ROW)
        config = bigquery.QueryJobConfig(dry_run=True, default_dataset=f"{project.client.project}.d")
        assert project.client.query(sql, job_config=config).statement_type == kind
        assert project.ids() == [1]

    def test_a_statement_that_changes_rows_does(self, project: Project) -> None:
        project.load(ROW, ROW | {"id": 2, "at": NEXT_NOON})
        project.query("DELETE FROM t WHERE at >= '2024-08-02'")
        assert project.ids() == [1]

    def test_parameters_have_types(self, project: Project) -> None:
        values: list[tuple[str, Any]] = [
            ("INT64", 1),
            ("DATE", DAY),
            ("TIMESTAMP", datetime(2024, 8, 1, 1, tzinfo=UTC)),
        ]
        given = [bigquery.ScalarQueryParameter(f"p{n}", kind, value) for n, (kind, value) in enumerate(values)]
        answer = project.query("SELECT @p0, @p1, @p2", query_parameters=given)
        assert answer == [tuple(value for _, value in values)]
        with pytest.raises(google.BadRequest, match="'b' not found"):
            project.query("SELECT @b")

    def test_a_table_that_is_missing(self, project: Project) -> None:
        with pytest.raises(google.NotFound):
            project.query("SELECT * FROM none")

    def test_pages(self, stand_in: StandIn, project: Project) -> None:
        stand_in.page_rows = 3
        project.load(*[ROW | {"id": number} for number in range(10)])
        assert project.ids() == list(range(10))


class TestQuotas:
    def exceeded(self, project: Project, *rows: Any, **options: Any) -> None:
        with pytest.raises(google.Forbidden) as raised:
            project.send(*rows, **options)
        assert raised.value.errors[0]["reason"] == "quotaExceeded"

    def test_jobs_of_a_plain_table(self, stand_in: StandIn, project: Project) -> None:
        project.prepare(partitioned=False, name="plain")
        stand_in.quotas.limits.loads_of_table = 2
        project.load(ROW, to="plain")
        project.refuse({"id": None}, to="plain")
        self.exceeded(project, ROW, to="plain")
        project.load(ROW)

    def test_changes_of_partitions(self, stand_in: StandIn, project: Project) -> None:
        stand_in.quotas.limits.modifications_of_table = 4
        project.load(ROW, ROW | {"at": NEXT_NOON})
        project.refuse({"id": None})
        project.load(to="t$20240801", write_disposition="WRITE_TRUNCATE")
        self.exceeded(project, ROW, job_id="over")
        stand_in.quotas.today = lambda: date(2100, 1, 1)
        project.load(ROW, job_id="over")

    def test_a_partitioned_table_has_no_limit_of_jobs(self, stand_in: StandIn, project: Project) -> None:
        stand_in.quotas.limits.loads_of_table = 1
        for _ in range(3):
            project.load(ROW)

    def test_partitions_of_a_job_and_of_a_table(self, stand_in: StandIn, project: Project) -> None:
        stand_in.quotas.limits.partitions_of_job = 2
        stand_in.quotas.limits.partitions_of_table = 3
        days = [ROW | {"at": f"2024-08-0{day}T00:00:00Z"} for day in range(1, 5)]
        assert project.refuse(*days[:3])[0]["reason"] == "quotaExceeded"
        project.load(*days[:2])
        assert project.refuse(*days[2:])[0]["reason"] == "quotaExceeded"
        assert len(project.ids()) == 2


class TestTables:
    def test_a_table_is_created_once(self, project: Project) -> None:
        with pytest.raises(google.Conflict):
            project.prepare()

    def test_one_that_is_made_anew_is_another(self, project: Project) -> None:
        before = project.client.get_table("d.t").created
        project.client.delete_table("d.t")
        with pytest.raises(google.NotFound):
            project.client.get_table("d.t")
        project.prepare()
        assert project.client.get_table("d.t").created != before

    def test_columns_are_added_and_nothing_else(self, project: Project) -> None:
        table = project.client.get_table("d.t")
        table.schema = [*table.schema, bigquery.SchemaField("more", "STRING")]
        table = project.client.update_table(table, ["schema"])
        project.load(ROW | {"more": "x"})
        for schema in (
            table.schema[1:],
            [*table.schema, bigquery.SchemaField("must", "STRING", "REQUIRED")],
            [*table.schema, bigquery.SchemaField("MORE", "STRING")],
        ):
            table.schema = schema
            with pytest.raises(google.BadRequest):
                project.client.update_table(table, ["schema"])

    def test_a_change_of_what_another_has_changed_meanwhile_is_refused(self, project: Project) -> None:
        mine, other = (project.client.get_table("d.t") for _ in range(2))
        other.schema = [*other.schema, bigquery.SchemaField("theirs", "STRING")]
        project.client.update_table(other, ["schema"])
        mine.schema = [*mine.schema, bigquery.SchemaField("mine", "STRING")]
        with pytest.raises(google.PreconditionFailed):
            project.client.update_table(mine, ["schema"])
        assert [field.name for field in project.client.get_table("d.t").schema][-1] == "theirs"

    @pytest.mark.parametrize("field", ["name", "none"])
    def test_a_table_is_partitioned_by_a_time(self, project: Project, field: str) -> None:
        table = bigquery.Table(f"{project.client.project}.d.other", schema=SCHEMA)
        table.time_partitioning = bigquery.TimePartitioning(field=field)
        with pytest.raises(google.BadRequest):
            project.client.create_table(table)

    def test_tables_are_listed(self, project: Project) -> None:
        assert [table.table_id for table in project.client.list_tables("d")] == ["t"]

    def test_another_project_is_not_shown(self, project: Project) -> None:
        with pytest.raises(google.Forbidden):
            project.client.get_table("other-project.d.t")
