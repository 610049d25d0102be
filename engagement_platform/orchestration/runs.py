"""Reads Dagster's runs."""

import dagster as dg

ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
"""A process is at work, or seems to be."""
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = tuple(status for status in dg.DagsterRunStatus if status not in ENDED)


def runs_of(instance: dg.DagsterInstance, chosen: dg.RunsFilter, limit: int | None = None) -> list[dg.DagsterRun]:
    """Return the runs that a filter lets through, the newest first."""
    return [record.dagster_run for record in instance.get_run_records(chosen, limit=limit)]
