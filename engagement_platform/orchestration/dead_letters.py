"""Dead letters of a stream in Dagster: how many a day has and what became of them, and a job that redrives a day's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta

import dagster as dg

from engagement_platform.dead_letters.list import dead_letters_of
from engagement_platform.dead_letters.redrive import Redriven, redrive
from engagement_platform.domain.days import between, bounds
from engagement_platform.domain.dead_letters import UNSETTLED, Chosen, DeadLetterState
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.stream_names import own_name, turn
from engagement_platform.orchestration.assets import stream_group, streamed_key
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.living import in_one_living_process
from engagement_platform.orchestration.private import AssetJob
from engagement_platform.orchestration.warehouse.days import days_definition
from engagement_platform.settings import Settings, load
from engagement_platform.stream.registry import LOOPS

_COLUMNS = dg.TableSchema(
    [
        dg.TableColumn("source", "string", "Who gave the events up."),
        dg.TableColumn("reason", "string", "Why."),
        dg.TableColumn("state", "string", "What has become of the letters."),
        dg.TableColumn("letters", "int"),
    ]
)
COUNT, REDRIVE = "count_dead_letters", "redrive_dead_letters"
"""The jobs, but for the stream's name in front."""
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


def dead_letters_key(stream: EventStream) -> dg.AssetKey:
    """Return the key of the asset of a stream's dead letters."""
    return dg.AssetKey(["kafka", own_name(stream.name, "dead_letters")])


def dead_letters_by_day_of(stream: EventStream) -> dg.AssetsDefinition:
    """Return the asset: a day's letters, counted."""

    @dg.asset(
        key=dead_letters_key(stream),
        deps=[streamed_key(stream, loop.name) for loop in LOOPS if loop.lacking],
        partitions_def=days_definition(stream.name),
        kinds={"kafka"},
        group_name=stream_group(stream),
        description="Events that could not be published, loaded or delivered, by the day on which they were given up. "
        "Materializing a day counts its letters; the job "
        f"{own_name(stream.name, REDRIVE)} sends those that are open again.",
    )
    def dead_letters(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with explained(stream.name):
            day = date.fromisoformat(context.partition_key)
            return dg.MaterializeResult(metadata=figures(counted(load(stream.name), day)))

    return dead_letters


def count_dead_letters_of(stream: EventStream) -> AssetJob:
    """Return the job that counts a day's letters."""
    return dg.define_asset_job(
        own_name(stream.name, COUNT),
        selection=dg.AssetSelection.assets(dead_letters_key(stream)),
        description="Counts the dead letters of a day.",
    )


def count_dead_letters_hourly_of(stream: EventStream) -> dg.ScheduleDefinition:
    """Return the schedule that keeps the count of today's letters up to date."""

    @dg.schedule(
        name=own_name(stream.name, "count_dead_letters_hourly"),
        job_name=own_name(stream.name, COUNT),
        cron_schedule=f"{7 + turn(stream.name, 40)} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Keeps the count of today's dead letters up to date, and after midnight closes that of yesterday.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        """Ask for the days that the last hour touched."""
        moment = context.scheduled_execution_time.astimezone(UTC)
        days = between(moment - timedelta(hours=1), moment)
        return [dg.RunRequest(run_key=f"{day} at {moment.isoformat()}", partition_key=day.isoformat()) for day in days]

    return hourly


def redrive_dead_letters_of(stream: EventStream) -> dg.JobDefinition:
    """Return the job that redrives a day's open letters."""

    @dg.op(
        name=own_name(stream.name, "redrive_letters_of_a_day"),
        description="Redrives the open dead letters of a day, and counts its letters anew.",
    )
    def redrive_letters_of_a_day(context: dg.OpExecutionContext) -> None:
        _redrive(context, stream)

    @dg.job(
        name=own_name(stream.name, REDRIVE),
        partitions_def=days_definition(stream.name),
        description="Sends a day's open dead letters again: to the partner, or by a rebuild of their days.",
        executor_def=in_one_living_process,
    )
    def redrive_dead_letters() -> None:
        redrive_letters_of_a_day()

    return redrive_dead_letters


def _redrive(context: dg.OpExecutionContext, stream: EventStream) -> None:
    """Redrive what can be; the others stay open, and the log says why."""
    day = date.fromisoformat(context.partition_key)
    since, until = bounds(day)

    def tell(some: Sequence[Redriven]) -> None:
        for redriven in some:
            say = context.log.info if redriven.done else context.log.warning
            say(f"{redriven.letter.address}, event {redriven.letter.content.event_id}: {redriven.note}")

    with explained(stream.name):
        settings = load(stream.name)
        chosen = Chosen(since=since, until=until, states=UNSETTLED)
        done, failed = redrive(settings, chosen, f"Dagster run {context.run_id}", f"the letters of {day}", tell)
        metadata = figures(counted(settings, day))
    context.log.info(f"{done} letters redriven, {failed} cannot be.")
    context.log_event(
        dg.AssetMaterialization(dead_letters_key(stream), partition=context.partition_key, metadata=metadata)
    )
    context.add_output_metadata({"redriven": done, "cannot be redriven": failed})
