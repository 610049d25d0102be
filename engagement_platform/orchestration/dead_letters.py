"""Dead letters in Dagster: how many a day has and what became of them, and a job that redrives a day's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta

import dagster as dg

from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import Redriven, redrive
from engagement_platform.domain.days import between, bounds
from engagement_platform.domain.dead_letters import UNSETTLED, Chosen, DeadLetterState
from engagement_platform.orchestration.assets import STREAM_GROUP, partner_api, staged_batches, topic_events
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.warehouse.days import DAYS
from engagement_platform.settings import Settings, load

_COLUMNS = dg.TableSchema(
    [
        dg.TableColumn("source", "string", "Who gave the events up."),
        dg.TableColumn("reason", "string", "Why."),
        dg.TableColumn("state", "string", "What has become of the letters."),
        dg.TableColumn("letters", "int"),
    ]
)
_MAX_ROWS = 100
"""Of the table; reasons may differ from letter to letter."""

Key = tuple[str, str, DeadLetterState]
"""Source, reason and state."""


def counted(settings: Settings, day: date) -> Counter[Key]:
    """Return how many letters were written on a day, by source, reason and state. Raises Unavailable."""
    since, until = bounds(day)
    with dead_letters_of(settings) as letters:
        selected = letters.chosen(Chosen(since=since, until=until))
        return Counter((letter.content.source, letter.content.reason, letter.state) for letter in selected)


def figures(counts: Mapping[Key, int]) -> dict[str, dg.MetadataValue | int]:
    """Return the metadata of a day: all letters, those that wait for somebody, and a table, the most frequent first."""
    rows = sorted(counts.items(), key=lambda count: -count[1])[:_MAX_ROWS]
    records = [
        dg.TableRecord({"source": source, "reason": reason, "state": state.value, "letters": number})
        for (source, reason, state), number in rows
    ]
    return {
        "letters": sum(counts.values()),
        "open": sum(number for (_, _, state), number in counts.items() if state in UNSETTLED),
        "by source, reason and state": dg.MetadataValue.table(records, _COLUMNS),
    }


@dg.asset(
    key=["kafka", "dead_letters"],
    deps=[topic_events, staged_batches, partner_api],
    partitions_def=DAYS,
    kinds={"kafka"},
    group_name=STREAM_GROUP,
    description="Events that could not be published, loaded or delivered, by the day on which they were given up. "
    "Materializing a day counts its letters; the job redrive_dead_letters sends those that are open again.",
)
def dead_letters(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Count the letters of a day."""
    with explained():
        return dg.MaterializeResult(metadata=figures(counted(load(), date.fromisoformat(context.partition_key))))


count_dead_letters = dg.define_asset_job(
    "count_dead_letters",
    selection=dg.AssetSelection.assets(dead_letters.key),
    description="Counts the dead letters of a day.",
)


@dg.schedule(
    job=count_dead_letters,
    cron_schedule="7 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the count of today's dead letters up to date, and after midnight closes that of yesterday.",
)
def count_dead_letters_hourly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Ask for the days that the last hour touched."""
    moment = context.scheduled_execution_time.astimezone(UTC)
    days = between(moment - timedelta(hours=1), moment)
    return [dg.RunRequest(run_key=f"{day} at {moment.isoformat()}", partition_key=day.isoformat()) for day in days]


@dg.op(description="Redrives the open dead letters of a day, and counts its letters anew.")
def redrive_letters_of_a_day(context: dg.OpExecutionContext) -> None:
    """Redrive what can be; the others stay open, and the log says why."""
    day = date.fromisoformat(context.partition_key)
    since, until = bounds(day)

    def tell(some: Sequence[Redriven]) -> None:
        for redriven in some:
            say = context.log.info if redriven.done else context.log.warning
            say(f"{redriven.letter.address}, event {redriven.letter.content.event_id}: {redriven.note}")

    with explained():
        settings = load()
        chosen = Chosen(since=since, until=until, states=UNSETTLED)
        done, failed = redrive(settings, chosen, f"Dagster run {context.run_id}", f"the letters of {day}", tell)
        metadata = figures(counted(settings, day))
    context.log.info(f"{done} letters redriven, {failed} cannot be.")
    context.log_event(dg.AssetMaterialization(dead_letters.key, partition=context.partition_key, metadata=metadata))
    context.add_output_metadata({"redriven": done, "cannot be redriven": failed})


@dg.job(
    partitions_def=DAYS,
    description="Sends a day's open dead letters again: to the partner, or by a rebuild of their days.",
    executor_def=in_one_living_process,
)
def redrive_dead_letters() -> None:
    """One op."""
    redrive_letters_of_a_day()
