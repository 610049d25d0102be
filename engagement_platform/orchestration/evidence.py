"""Evidence of the delivery: each hour of the running stream, the source held against every sink, id by id.

By hour, and not by day: what is missing is red while it can still be found, and an hour of the topic is read once,
where a day would be read again and again as it grows. The partitions go back two weeks, and so do the runs: Kafka keeps
messages for a week by default, and older days have their comparison with the source.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.evidence import Evidence, Verdict, in_words, verdict_of
from engagement_platform.domain.stream_names import own_name, turn
from engagement_platform.orchestration.assets import stream_group, streamed_key
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.private import AssetJob
from engagement_platform.settings import first_day, load
from engagement_platform.stream.registry import LOOPS

EVIDENCE, PROVE, COMPLETE = "delivery_evidence", "prove_delivery", "every_sink_has_every_event"
"""Asset and job, but for the stream's name in front; and the check."""
KEPT = timedelta(days=14)
_COLUMNS = dg.TableSchema(
    [
        dg.TableColumn("sink", "string"),
        dg.TableColumn("verdict", "string"),
        dg.TableColumn("expected", "int", "Events that it should have."),
        dg.TableColumn("present", "int"),
        dg.TableColumn("dead letters", "int", "In the place of events."),
        dg.TableColumn("missing", "int"),
        dg.TableColumn("doubled", "int"),
        dg.TableColumn("on their way", "int"),
        dg.TableColumn("ids", "string", "The first that are missing, doubled, or on their way."),
        dg.TableColumn("note", "string"),
    ]
)


def evidence_key(stream: EventStream) -> dg.AssetKey:
    """Return the key of the asset of a stream's evidence."""
    return dg.AssetKey(own_name(stream.name, EVIDENCE))


def hours_definition(stream: str) -> dg.HourlyPartitionsDefinition:
    """Return one partition for each hour of the last two weeks that has ended, by UTC. Raises SettingsError."""
    start = max(datetime.combine(first_day(stream), datetime.min.time(), UTC), datetime.now(UTC) - KEPT)
    return dg.HourlyPartitionsDefinition(start_date=start.strftime("%Y-%m-%d-00:00"), timezone="UTC")


def metadata_of(sinks: Sequence[Evidence]) -> dict[str, dg.MetadataValue | int | str]:
    """Return what is told of an hour: the verdict, figures to be plotted, and a row for each sink."""
    rows = [
        {
            "sink": one.sink,
            "verdict": one.verdict.value,
            "expected": one.expected,
            "present": one.present,
            "dead letters": one.letters,
            "missing": one.missing.count,
            "doubled": one.doubled.count,
            "on their way": one.awaited.count,
            "ids": next((str(ids) for ids in (one.missing, one.doubled, one.awaited) if ids.first), ""),
            "note": one.note,
        }
        for one in sinks
    ]
    return {
        "verdict": verdict_of(sinks).value,
        "events": max((one.expected for one in sinks if one.sink == "kafka"), default=0),
        "missing": sum(one.missing.count for one in sinks),
        "doubled": sum(one.doubled.count for one in sinks),
        "on their way": sum(one.awaited.count for one in sinks),
        "sinks": dg.MetadataValue.table([dg.TableRecord(row) for row in rows], _COLUMNS),
    }


def check_of(sinks: Sequence[Evidence]) -> dg.AssetCheckResult:
    """Return the outcome: red where something is missing or doubled, amber where it is late or cannot be told."""
    verdict = verdict_of(sinks)
    severity = dg.AssetCheckSeverity.ERROR if verdict is Verdict.BROKEN else dg.AssetCheckSeverity.WARN
    passed = verdict is Verdict.COMPLETE or (verdict is Verdict.UNKNOWN and _only_redis_is_unknown(sinks))
    return dg.AssetCheckResult(
        check_name=COMPLETE, passed=passed, severity=severity, description=in_words(sinks) + _todo(verdict)
    )


def _only_redis_is_unknown(sinks: Sequence[Evidence]) -> bool:
    """Say whether nothing but Redis, which has no past, could not be compared."""
    return all(one.is_known or one.sink == "redis" for one in sinks)


def _todo(verdict: Verdict) -> str:
    if verdict is Verdict.BROKEN:
        return " What to do: engagement-platform trace ID says of each where it was lost and what brings it there."
    return " What to do: engagement-platform status says what it waits for." if verdict is Verdict.AWAITED else ""


def delivery_evidence_of(stream: EventStream) -> dg.AssetsDefinition:
    """Return the asset, with its check."""
    key = evidence_key(stream)

    @dg.asset(
        key=key,
        deps=[streamed_key(stream, loop.name) for loop in LOOPS],
        partitions_def=hours_definition(stream.name),
        kinds={"dagster"},
        group_name=stream_group(stream),
        check_specs=[
            dg.AssetCheckSpec(
                COMPLETE,
                asset=key,
                description="Every event that was published in the hour is in each sink, once where once is promised, "
                "or a dead letter; and the views in Redis are what a recount of the topic gives.",
            )
        ],
        description="Holds the source against each sink, id by id, for the events that came to Kafka in an hour.",
        retry_policy=dg.RetryPolicy(max_retries=2, delay=30),
    )
    def delivery_evidence(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        """Compare the hour of the run."""
        from engagement_platform.history.evidence import evidence_of_hour  # noqa: PLC0415, as it takes all clients

        with explained(stream.name):
            begin = context.partition_time_window.start.astimezone(UTC)
            sinks = evidence_of_hour(load(stream.name), begin).sinks
        yield dg.MaterializeResult(metadata=metadata_of(sinks), check_results=[check_of(sinks)])

    return delivery_evidence


def prove_delivery_of(stream: EventStream) -> AssetJob:
    """Return the job that compares an hour."""
    return dg.define_asset_job(
        own_name(stream.name, PROVE),
        selection=dg.AssetSelection.assets(evidence_key(stream)),
        description="Holds the source against each sink for the events of an hour.",
    )


def prove_delivery_hourly_of(stream: EventStream) -> dg.ScheduleDefinition:
    """Return the schedule that compares each hour some minutes after its end."""

    @dg.schedule(
        name=own_name(stream.name, "prove_delivery_hourly"),
        job_name=own_name(stream.name, PROVE),
        cron_schedule=f"{12 + turn(stream.name, 40)} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares the hour before with each sink, some minutes after its end.",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Ask for the hour that has ended."""
        hour = (context.scheduled_execution_time.astimezone(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d-%H:00")
        return dg.RunRequest(run_key=hour, partition_key=hour)

    return hourly
