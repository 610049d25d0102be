"""Quotas, counted by table and day. https://cloud.google.com/bigquery/quotas

`Quotas.limits` may be lowered by a test; the numbers here are Google's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from engagement_platform_tests.adapters.warehouse.bigquery.stand_in.errors import ApiError, JobError


@dataclass
class Limits:
    """What a day, a job and a table may have."""

    loads_of_table: int = 1_500
    """Jobs a day that write to a table without partitions: https://cloud.google.com/bigquery/quotas#standard_tables"""
    modifications_of_table: int = 30_000
    """Partitions changed a day: https://cloud.google.com/bigquery/quotas#partitioned_tables"""
    partitions_of_job: int = 4_000
    partitions_of_table: int = 10_000


@dataclass
class Quotas:
    """What was used. A test may set `today` to let a day pass."""

    limits: Limits = field(default_factory=Limits)
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    used: Counter[tuple[str, str, date]] = field(default_factory=Counter)

    def admit(self, table: str, partitioned: bool) -> None:
        """Refuse a job that would write to a table whose quota is used up.

        A partitioned table has a limit of its own, in place of the one of 1,500 jobs
        (https://cloud.google.com/bigquery/docs/optimize-load-jobs). A quota that is used up is answered with 403 and
        quotaExceeded (https://cloud.google.com/bigquery/docs/troubleshoot-quotas).
        """
        kind, limit = (
            ("partition modifications", self.limits.modifications_of_table)
            if partitioned
            else ("table modifications", self.limits.loads_of_table)
        )
        if self.used[table, kind, self.today()] >= limit:
            raise ApiError("quotaExceeded", f"Quota exceeded: Your table exceeded quota for number of {kind} per day")

    def count(self, table: str, partitioned: bool, partitions: int) -> None:
        """Count a job that has ended. Failed ones count too: https://cloud.google.com/bigquery/docs/optimize-load-jobs"""
        kind = "partition modifications" if partitioned else "table modifications"
        self.used[table, kind, self.today()] += max(1, partitions) if partitioned else 1

    def check_partitions(self, touched: int, in_table: int) -> None:
        """Fail a job that touches, or leaves, too many partitions. https://cloud.google.com/bigquery/quotas"""
        if touched > self.limits.partitions_of_job:
            raise JobError(
                "quotaExceeded",
                f"Too many partitions produced by job, allowed {self.limits.partitions_of_job}, "
                f"job produces at least {touched} partitions",
            )
        if in_table > self.limits.partitions_of_table:
            raise JobError(
                "quotaExceeded",
                f"Quota exceeded: a table may have {self.limits.partitions_of_table} partitions",
            )
