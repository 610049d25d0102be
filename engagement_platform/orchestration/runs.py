"""Reads Dagster's runs."""

from collections.abc import Iterator

import dagster as dg

ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
"""A process is at work, or seems to be."""
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = tuple(status for status in dg.DagsterRunStatus if status not in ENDED)

WILL_RETRY = "dagster/will_retry"
"""The tag of a failed run that says whether Dagster launches it again; absent until that is decided."""


def runs_of(instance: dg.DagsterInstance, chosen: dg.RunsFilter, limit: int | None = None) -> list[dg.DagsterRun]:
    """Return the runs that a filter lets through, the newest first."""
    return [record.dagster_run for record in instance.get_run_records(chosen, limit=limit)]


def each_run_of(instance: dg.DagsterInstance, chosen: dg.RunsFilter, at_once: int = 200) -> Iterator[dg.DagsterRun]:
    """Yield the runs that a filter lets through, the newest first, read a page at a time. Delete none meanwhile."""
    cursor = None
    while records := instance.get_run_records(chosen, limit=at_once, cursor=cursor):
        yield from (record.dagster_run for record in records)
        cursor = records[-1].dagster_run.run_id
