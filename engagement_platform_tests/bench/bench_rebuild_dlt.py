"""The peer that the rebuild is measured against: dlt brings the same rows of a day into a Delta table of its own.

What dlt is given: `sql_table` with the backend pyarrow, psycopg2 and a server-side cursor, 100,000 rows at a time, the
rebuild's own SELECT in place of the table's, and all types known before (nothing is inferred); the destination
`filesystem` in a local folder with table format delta, write disposition replace, no partitions, Delta's defaults for
files. NUMERIC comes as NUMERIC, which is faster there than as text. Measured and not faster: psycopg 3, other sizes.
Of dlt's steps all are counted (extract, normalize, load), of Python's imports none.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any, NamedTuple

from engagement_platform_tests.conftest import origin

ROWS_AT_ONCE = 100_000
_ROWS = """
SELECT event.id,
       event.content_id::text AS content_id,
       event.user_id::text AS user_id,
       event.event_type,
       event.event_ts,
       event.duration_ms::bigint AS duration_ms,
       event.device,
       nullif(event.raw_payload::text, 'null') AS raw_payload,
       event.slug,
       event.title,
       event.content_type,
       event.length_seconds::bigint AS length_seconds,
       event.engagement_seconds,
       event.engagement_pct
  FROM ({{enriched}}) AS event
 WHERE event.event_ts >= '{begin}' AND event.event_ts < '{end}'
"""


class Took(NamedTuple):
    """What a load took."""

    seconds: float
    cpu_seconds: float


def cpu_seconds() -> float:
    """Return what this process has taken so far, with its threads and those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def load_day(dsn: str, begin: str, end: str, folder: Path) -> Took:
    """Load the events from `begin` to before `end` into a table below `folder`; return what it took."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"  # before the import: nothing leaves the machine
    import deltalake  # noqa: F401 - what dlt would import while it works
    import dlt
    import pyarrow.dataset  # noqa: F401

    events = _events(dsn, query(begin, end))
    pipeline = dlt.pipeline(
        "rebuild_of_a_day",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=folder.as_uri()),
        dataset_name="loaded",
    )
    began, used = time.perf_counter(), cpu_seconds()
    pipeline.run(events)
    return Took(time.perf_counter() - began, cpu_seconds() - used)


def table_of(folder: Path) -> Path:
    """Return where the table is."""
    return folder / "loaded" / "engagement_events"


def query(begin: str, end: str) -> str:
    """Return the statement of a day's rows, in the types that the rebuild reads but for NUMERIC."""
    return origin("").plain(_ROWS.format(begin=begin, end=end))


def _events(dsn: str, query: str) -> Any:
    import sqlalchemy as sa
    from dlt.sources.sql_database import sql_table

    def with_the_contents_columns(table: sa.Table) -> sa.Table:
        for name in ("slug", "title", "content_type"):
            table.append_column(sa.Column(name, sa.Text))
        table.append_column(sa.Column("length_seconds", sa.BigInteger))
        for name in ("engagement_seconds", "engagement_pct"):
            table.append_column(sa.Column(name, sa.Numeric(18, 2)))
        return table

    def as_in_the_query(kind: Any) -> Any:
        if isinstance(kind, sa.UUID | sa.JSON):
            return sa.Text()
        return sa.BigInteger() if isinstance(kind, sa.Integer) else kind

    events = sql_table(
        credentials=dsn.replace("postgresql://", "postgresql+psycopg2://"),
        table="engagement_events",
        schema="public",
        backend="pyarrow",
        chunk_size=ROWS_AT_ONCE,
        reflection_level="full_with_precision",
        table_adapter_callback=with_the_contents_columns,
        type_adapter_callback=as_in_the_query,
        query_adapter_callback=lambda _select, _table: sa.text(query),
        write_disposition="replace",
    )
    events.apply_hints(table_format="delta")
    return events
