"""Deletes runs of schedules whose work later runs have replaced: 300 a day, which Dagster keeps for ever.

A run whose materialization is the latest of a day stays, for without it the day would look missing. So of the runs that
refresh today's tables, and that count its letters, one for each day and table is left.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

import dagster as dg

from engagement_platform.orchestration import private
from engagement_platform.orchestration.runs import ENDED, each_run_of

MOST_DELETED = 2_000
"""Runs of one job that are deleted at a time: what is left of years without this is for the next days."""


def delete_superseded_runs(
    instance: dg.DagsterInstance, jobs: Collection[str], assets: Sequence[dg.AssetKey], created_before: datetime
) -> int:
    """Delete the ended runs of jobs that were created before a time and hold nothing that is the latest.

    Returns how many; at most `MOST_DELETED` of each job. `assets` are those that the jobs materialize. Failed runs are
    deleted too.
    """
    latest = {key: private.latest_materializations(instance, key) for key in assets}
    deleted = 0
    for job in jobs:
        old = dg.RunsFilter(job_name=job, statuses=list(ENDED), created_before=created_before)
        replaced = (
            run.run_id
            for run in each_run_of(instance, old)
            if not _holds_the_latest(private.materializations_of(instance, run.run_id), latest)
        )
        for run_id in list(islice(replaced, MOST_DELETED)):  # found first: a page begins after a run that is there
            instance.delete_run(run_id)
            deleted += 1
    return deleted


def _holds_the_latest(made: Mapping[dg.AssetKey, set[int]], latest: Mapping[dg.AssetKey, set[int]]) -> bool:
    """Say whether one of these materializations is the latest of its day; what is of no known asset counts as one."""
    return any(key not in latest or not ids.isdisjoint(latest[key]) for key, ids in made.items())
