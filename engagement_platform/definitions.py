"""What Dagster loads: explicit lists, no logic. A test holds them against what the package defines."""

import dagster as dg

from engagement_platform.orchestration.assets import STREAM
from engagement_platform.orchestration.dead_letters import (
    count_dead_letters,
    count_dead_letters_hourly,
    dead_letters,
    redrive_dead_letters,
)
from engagement_platform.orchestration.dead_runs import end_dead_runs
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.retention import (
    prune_engagement_stream_runs,
    prune_engagement_stream_runs_daily,
)
from engagement_platform.orchestration.sensors import keep_engagement_stream_alive
from engagement_platform.orchestration.stream_job import engagement_stream
from engagement_platform.orchestration.warehouse.checks import days_known, reconciliation, values_known
from engagement_platform.orchestration.warehouse.events import engagement_events
from engagement_platform.orchestration.warehouse.marts import (
    daily_content_engagement,
    daily_device_engagement,
    hourly_engagement,
)
from engagement_platform.orchestration.warehouse.schedules import (
    keep_warehouse_small,
    keep_warehouse_small_hourly,
    rebuild_days_that_are_due,
    refresh_late_days,
    refresh_marts,
    refresh_today,
    settle_day,
    settle_yesterday,
)
from engagement_platform.orchestration.warehouse.staged import report_staged_days

definitions = dg.Definitions(
    assets=[
        *STREAM,
        dead_letters,
        engagement_events,
        daily_content_engagement,
        daily_device_engagement,
        hourly_engagement,
    ],
    asset_checks=[reconciliation, days_known, values_known],
    jobs=[
        engagement_stream,
        count_dead_letters,
        redrive_dead_letters,
        prune_engagement_stream_runs,
        settle_day,
        refresh_marts,
        keep_warehouse_small,
    ],
    sensors=[keep_engagement_stream_alive, end_dead_runs, rebuild_days_that_are_due, report_staged_days],
    schedules=[
        prune_engagement_stream_runs_daily,
        count_dead_letters_hourly,
        settle_yesterday,
        refresh_late_days,
        refresh_today,
        keep_warehouse_small_hourly,
    ],
    # One process for a run of the warehouse's assets: they follow each other, and a process each would cost seconds.
    executor=in_one_living_process,
)
