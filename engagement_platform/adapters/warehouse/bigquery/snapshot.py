"""A table as it was at one moment, as queries of one reading see it."""

from collections.abc import Mapping

import pyarrow as pa

from engagement_platform.adapters.warehouse.bigquery import queries
from engagement_platform.adapters.warehouse.bigquery.jobs import Jobs
from engagement_platform.adapters.warehouse.port import Parameter


class BigQuerySnapshot:
    """Keeps the promises of `port.Snapshot` for the seven days, at most, that BigQuery keeps what was.

    https://cloud.google.com/bigquery/docs/access-historical-data
    """

    def __init__(self, jobs: Jobs, table: str) -> None:
        self._jobs = jobs
        # BigQuery's clock: a moment that lies ahead of it is refused.
        [now] = queries.answer(jobs, "SELECT CURRENT_TIMESTAMP() AS moment", {}).column("moment").to_pylist()
        self.name = f"`{table}` FOR SYSTEM_TIME AS OF TIMESTAMP '{now.isoformat(sep=' ')}'"

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """Return BigQuery's answer. A query without a filter on the day of the table fails."""
        return queries.answer(self._jobs, sql, parameters or {})
