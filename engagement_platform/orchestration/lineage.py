"""The sensor that tells a catalog, by OpenLineage, what the streams and the warehouse's runs read and fill.

There is one when OPENLINEAGE_URL is set. It reads who streams from the platform's database, and Dagster's ended runs;
no loop knows of it, and a catalog that is away is told later. `docs/decisions/0019-…` says why it is not the sensor of
`dagster-openlineage`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import dagster as dg
import msgspec

from engagement_platform.adapters.column_lineage import BIGQUERY, POSTGRES, lineage_of
from engagement_platform.adapters.openlineage.client import Catalog, EventRefused
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain import owners
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.leases import alive
from engagement_platform.domain.lineage import Dataset, Field, Stage, Step, Streaming, Told, fields_of, id_of, steps
from engagement_platform.domain.marts import Mart
from engagement_platform.domain.places import Place
from engagement_platform.orchestration.assets import bare_name, source_key, streamed_key
from engagement_platform.orchestration.catalog import columns_known
from engagement_platform.orchestration.places import places_of
from engagement_platform.orchestration.private import asset_events
from engagement_platform.orchestration.runs import ENDED
from engagement_platform.orchestration.stream_job import job_name, job_names
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.marts import mart_key
from engagement_platform.settings import about, catalog_of, load
from engagement_platform.stream.registry import LOOPS, Loop

EVERY_SECONDS = 600.0
"""How often it is told of a run that it streams on."""
_AT_ONCE = 50
"""Ended runs in one tick."""
_TRIES = 5
"""Ticks in which a run is told that the catalog refuses: then the next ones are told without it."""

_STAGES = {
    dg.DagsterRunStatus.SUCCESS: Stage.COMPLETE,
    dg.DagsterRunStatus.FAILURE: Stage.FAIL,
    dg.DagsterRunStatus.CANCELED: Stage.ABORT,
}


class Memory(msgspec.Struct, frozen=True):
    """What the sensor remembers: of each stream who streamed, up to when ended runs were told, and which is refused."""

    streams: dict[str, Streaming] = {}
    runs_until: float = 0.0
    refused_run: str = ""
    refusals: int = 0


@dataclass(eq=False)
class Woven:
    """What the jobs of a stream read and fill. Made once in a process: the SQL is read for it."""

    stream: EventStream
    places: Mapping[dg.AssetKey, Place] = field(init=False)
    datasets: Mapping[dg.AssetKey, Dataset] = field(init=False)
    reads: Mapping[dg.AssetKey, Sequence[dg.AssetKey]] = field(init=False)
    """A table of the warehouse -> what a run that makes it reads."""

    def __post_init__(self) -> None:
        self.places = places_of(self.stream)
        of_source = [source_key(table) for table in self.stream.tables]
        self.datasets = dict(self._datasets())
        marts = self.stream.marts.values()
        self.reads = {events_key(self.stream): of_source} | {
            mart_key(mart.name): [events_key(self.stream), *map(mart_key, mart.reads)] for mart in marts
        }

    def _datasets(self) -> Iterator[tuple[dg.AssetKey, Dataset]]:
        stream, topic, events = self.stream, streamed_key(self.stream, "relay"), events_key(self.stream)
        filled = self._message()
        fields: dict[dg.AssetKey, tuple[Field, ...]] = {
            source_key(table): tuple(Field(one.name, one.form.value, one.meaning) for one in needed)
            for table, needed in stream.tables.items()
        }
        fields[topic] = filled
        if topic in self.places:
            fields[events] = tuple(replace(one, made_from=((self.places[topic], one.name),)) for one in filled)
        fields |= {mart_key(mart.name): self._of_mart(mart) for mart in stream.marts.values()}
        for key, place in self.places.items():
            yield key, Dataset(place, fields.get(key, ()))

    def _message(self) -> tuple[Field, ...]:
        stream = self.stream
        columns = {table: [one.name for one in needed] for table, needed in stream.tables.items()}
        lineage = lineage_of(stream.enriched, POSTGRES, columns)
        meanings = {one.name: (one.type, one.description or "") for one in columns_known(stream)}
        shown = {name: meanings.get(name, ("", "")) for name in lineage} or meanings
        where = {bare_name(table).rpartition(".")[2]: self.places.get(source_key(table)) for table in stream.tables}
        return fields_of(shown, lineage, {name: place for name, place in where.items() if place})

    def _of_mart(self, mart: Mart) -> tuple[Field, ...]:
        stream = self.stream
        stated = {one.name: one.stated for one in stream.marts.values() if one.stated}
        columns = {stream.table: [one.name for one in columns_known(stream)]}
        columns |= {name: [one.name for one in table.columns] for name, table in stated.items()}
        lineage = lineage_of(mart.query, BIGQUERY, columns)
        kinds = {one.name: (one.kind.value, one.meaning) for one in mart.stated.columns} if mart.stated else {}
        tables = {stream.table: events_key(stream), **{name: mart_key(name) for name in stream.marts}}
        where = {name: self.places[key] for name, key in tables.items() if key in self.places}
        return fields_of(kinds or dict.fromkeys(lineage, ("", "")), lineage, where)

    def of_loop(self, loop: Loop) -> tuple[tuple[Dataset, ...], tuple[Dataset, ...]]:
        """Return what a loop reads, and what it fills: of the stage that is the table, not its files."""
        topic, kept = streamed_key(self.stream, "relay"), streamed_key(self.stream, loop.name)
        read = [source_key(table) for table in self.stream.tables] if kept == topic else [topic]
        filled = events_key(self.stream) if loop.name == "stage" else kept
        return self.some(read), self.some([filled])

    def some(self, keys: Sequence[dg.AssetKey]) -> tuple[Dataset, ...]:
        """Return those of the datasets that are known."""
        return tuple(self.datasets[key] for key in dict.fromkeys(keys) if key in self.datasets)


def lineage_of_streams(streams: Sequence[EventStream], open_catalog: Callable[[], Catalog]) -> dg.SensorDefinition:
    """Return the sensor."""
    woven: dict[str, Woven] = {}

    @dg.sensor(
        name="report_lineage",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the catalog at OPENLINEAGE_URL what streams and runs of the warehouse read and fill.",
    )
    def report_lineage(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        catalog = open_catalog()
        for stream in streams:
            if stream.name not in woven:
                woven[stream.name] = Woven(stream)
        telling = _Telling(context.instance, catalog, woven, remembered(context.cursor, time.time()))
        said = telling.tell()
        return dg.SensorResult(skip_reason=said, cursor=msgspec.json.encode(telling.memory).decode())

    return report_lineage


class _Telling:
    """One tick: it tells what is new, and remembers what the catalog has taken."""

    def __init__(
        self, instance: dg.DagsterInstance, catalog: Catalog, woven: Mapping[str, Woven], memory: Memory
    ) -> None:
        self._instance = instance
        self._catalog = catalog
        self._woven = woven
        self.memory = memory
        self._number = 0
        self._left_out: list[str] = []

    def tell(self) -> str:
        """Tell everything, up to the first failure; return what was done in words."""
        failures = []
        for name, woven in self._woven.items():
            try:
                with about(name):
                    self._tell_of_stream(name, woven)
            except EngagementError as error:
                failures.append(f"{name}: {error}")
        try:
            self._tell_of_runs()
        except EngagementError as error:
            failures.append(str(error))
        return " ".join([f"Told {self._number} events.", *self._left_out, *failures])

    def _emit(self, told: Told) -> None:
        self._catalog.tell(told)
        self._number += 1

    def _tell_of_stream(self, name: str, woven: Woven) -> None:
        settings = load(name)
        ensure_schema(settings)
        with Leases.opened(settings, "lineage") as leases:
            snapshot = leases.snapshot()
        lease = snapshot.lease if alive(snapshot) else None
        run_id, since = (lease.run_id, lease.claimed_at.timestamp()) if lease else ("", 0.0)
        before = self.memory.streams.get(name, Streaming())
        due, after = steps(before, run_id, since, snapshot.now.timestamp(), EVERY_SECONDS)
        owned_by = owners.of(catalog_of(name).owners)
        for step in due:
            for loop in LOOPS:
                self._emit(self._of_loop(woven, loop, self._as_it_ended(step), owned_by))
        self.memory = msgspec.structs.replace(self.memory, streams={**self.memory.streams, name: after})

    def _as_it_ended(self, step: Step) -> Step:
        """Return an end as Dagster knows it: one that another run follows may have failed."""
        run = self._instance.get_run_by_id(step.run_id) if step.stage is Stage.COMPLETE else None
        return replace(step, stage=_STAGES.get(run.status, step.stage)) if run else step

    def _of_loop(self, woven: Woven, loop: Loop, step: Step, owned_by: tuple[str, ...]) -> Told:
        inputs, outputs = woven.of_loop(loop)
        job = job_name(woven.stream.name)
        return Told(
            stage=step.stage,
            at=step.at,
            job=f"{job}.{loop.name}",
            run_id=id_of(step.run_id, loop.name),
            meaning=loop.description,
            is_streaming=True,
            owners=owned_by,
            parent=(job, id_of(step.run_id)),
            inputs=inputs,
            outputs=outputs,
        )

    def _tell_of_runs(self) -> None:
        since = datetime.fromtimestamp(self.memory.runs_until, UTC)
        ended = dg.RunsFilter(statuses=list(ENDED), updated_after=since)
        streaming = {job for name in self._woven for job in job_names(name)}
        records = self._instance.get_run_records(ended, limit=_AT_ONCE, order_by="update_timestamp", ascending=True)
        for record in records:
            if record.dagster_run.job_name not in streaming:
                self._tell_of_run(record)
            until = record.update_timestamp.replace(tzinfo=record.update_timestamp.tzinfo or UTC).timestamp()
            self.memory = msgspec.structs.replace(self.memory, runs_until=until)

    def _tell_of_run(self, record: dg.RunRecord) -> None:
        """Tell of a run; leave out one that the catalog has refused again and again. Raises EngagementError."""
        try:
            for told in self._of_run(record):
                self._emit(told)
        except EventRefused as error:
            run_id, memory = record.dagster_run.run_id, self.memory
            refusals = 1 + (memory.refusals if memory.refused_run == run_id else 0)
            self.memory = msgspec.structs.replace(memory, refused_run=run_id, refusals=refusals)
            if refusals < _TRIES:
                raise
            self._left_out.append(f"Run {run_id} is left out: {error.what}")

    def _of_run(self, record: dg.RunRecord) -> Iterator[Told]:
        """Yield the start and the end of a run that was to make tables; nothing of another one."""
        run, rows = record.dagster_run, self._made_by(record.dagster_run)
        woven = next((one for one in self._woven.values() if not one.reads.keys().isdisjoint(rows)), None)
        if woven is None or record.start_time is None or record.end_time is None:
            return
        made = [key for key in woven.reads if key in rows]
        outputs = tuple(replace(one, rows=rows[key]) for key in made for one in woven.some([key]))
        read = [key for table in made for key in woven.reads[table] if key not in made]
        told = Told(
            stage=Stage.START,
            at=record.start_time,
            job=run.job_name if not run.job_name.startswith("__") else "materialize",
            run_id=id_of(run.run_id),
            meaning="Makes days of tables of the warehouse anew.",
            day=run.tags.get("dagster/partition", ""),
            owners=owners.of(catalog_of(woven.stream.name).owners),
            inputs=woven.some(read),
            outputs=outputs,
        )
        yield told
        stage = _STAGES[run.status]
        error = "See the run in Dagster." if stage is Stage.FAIL else ""
        yield replace(told, stage=stage, at=record.end_time, error=error)

    def _made_by(self, run: dg.DagsterRun) -> dict[dg.AssetKey, int | None]:
        """Return the tables that a run was to make, with the rows that it has written as far as it says so."""
        rows: dict[dg.AssetKey, int | None] = {}
        for event in asset_events(self._instance, run.run_id):
            if event.asset_key is None:
                continue
            rows.setdefault(event.asset_key, None)
            if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
                count = event.step_materialization_data.materialization.metadata.get("dagster/row_count")
                rows[event.asset_key] = count.value if isinstance(count, dg.IntMetadataValue) else None
        return rows


def remembered(cursor: str | None, now: float) -> Memory:
    """Return what a cursor holds. Without one it begins now: history is not told."""
    try:
        return msgspec.json.decode(cursor, type=Memory) if cursor else Memory(runs_until=now)
    except msgspec.DecodeError:
        return Memory(runs_until=now)
