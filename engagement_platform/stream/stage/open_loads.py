"""How one batch gets into the warehouse, and how an open load that its process left is completed.

Whoever finds an open load completes it under its own id: what its process may still do then changes nothing. While a
load is open, no rebuild of its days takes its snapshot, so the coverage by which its lines were chosen stays in force
and the same lines can be made again from Kafka.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicReader
from engagement_platform.adapters.kafka.record import Record
from engagement_platform.adapters.platform.loads import LoadRow, Loads
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.port import Conflict, Load, LoadFailed, Replacement, Warehouse
from engagement_platform.domain.batches import Line, Ranges, name_of, uncovered
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.stage import batch_files

log = logging.getLogger("engagement_platform.stage")

SILENT_SECONDS = 3.0
"""A rebuild without a heartbeat for this long is taken for dead: three heartbeats are missing.

One that lives nevertheless changes nothing any more: settling it makes its commit conflict, and it begins again.
"""

WATCH_SECONDS = 1.5
"""How long a rebuild is watched at least: one that lives beats meanwhile, also after the database stood still."""


class Silence:
    """Tells the rebuilds whose process is gone, by watching whether they beat.

    The database's clock alone would not do: it may be set back, or have gone on while the database stood still.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[datetime, float]] = {}

    def is_dead(self, rebuild: RebuildRow, after_seconds: float, now: float) -> bool:
        """Say whether a rebuild has been without a heartbeat for too long. `now` is of a clock that nobody sets."""
        beat_at, since = self._seen.get(rebuild.number, (None, now))
        if beat_at != rebuild.beat_at:
            since = now
            self._seen[rebuild.number] = (rebuild.beat_at, since)
        watched = now - since
        if watched > after_seconds:
            return True
        return rebuild.silent_seconds > after_seconds and watched >= min(WATCH_SECONDS, after_seconds)


def settle_rebuild(warehouse: Warehouse, rebuilds: Rebuilds, rebuild: RebuildRow, table: Table) -> None:
    """Close an open rebuild that its process has left: done when its data are in the table, else without effect.

    From the answer of `retire` on it cannot take effect any more, so that its process, should it still live, finds
    its row closed.
    """
    replacement = Replacement(table, rebuild.day, rebuild.number)
    if warehouse.retire(replacement):
        rebuilds.finish(rebuild.number, rebuild.rows or 0)
        log.warning("the rebuild of %s was left open; its data are in the table", rebuild.day)
    else:
        rebuilds.abandon(rebuild.number)
        log.warning("the rebuild of %s was left open without effect; the day is as it was", rebuild.day)


_READ_SECONDS = 120.0
_POLL_MS = 200


def deliver(
    warehouse: Warehouse, loads: Loads, load: LoadRow, lines: Sequence[Line], settings: Settings, *, schema: Schema
) -> None:
    """Send the lines of an open load until the warehouse has them, and close the load.

    `schema` has all columns that the lines may have. Raises Unavailable when it is to be tried again later,
    StreamStopped when the warehouse refuses rows.
    """
    sent = _sent(load, settings, loads, schema)
    with batch_files.clean_file(
        batch_files.folder_of(settings), name_of(settings.topics.events, load.ranges), lines
    ) as path:
        while True:
            try:
                warehouse.append(sent, path)
                break
            except Conflict:
                log.debug("another writer was faster than load %s", load.load_id)
            except LoadFailed as error:
                loads.raise_attempt(load)
                raise _refused(error) from error
    loads.close_load(load)


def settle_load(
    warehouse: Warehouse, loads: Loads, load: LoadRow, settings: Settings, readers: Readers | None = None
) -> None:
    """Complete an open load that some process has left, or is still at: both may do it."""
    readers = readers or Readers(settings)
    try:
        loaded = warehouse.is_loaded(_sent(load, settings, loads))
    except LoadFailed as error:
        loads.raise_attempt(load)
        raise _refused(error) from error
    if loaded:
        loads.close_load(load)
        return
    log.info("load %s is open: it is completed", load.load_id)
    records = list(read_ranges(settings, load))
    readers.meet(header for record in records for header in record.headers)
    checked = [readers.lines.of(record.value) for record in records]
    coverages = Rebuilds(loads.session).coverages(load.table_id, load.days)
    lines = uncovered((one for one in checked if isinstance(one, Line)), coverages)
    deliver(warehouse, loads, load, lines, settings, schema=readers.schema)


def read_ranges(settings: Settings, load: LoadRow) -> Iterator[Record]:
    """Return the messages of a load's offset ranges, again."""
    reader = TopicReader(settings.kafka, settings.topics.events, without_duplicates=True)
    try:
        if reader.topic_id != load.topic_id:
            raise _gone(load, "the topic was created again")
        reader.seek({partition: begin for partition, (begin, _) in load.ranges.items()}, load.wal_begins)
        deadline = time.monotonic() + _READ_SECONDS
        while not _passed(reader.positions(), load.ranges):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Kafka did not return the messages of load {load.load_id} in time.", "It is tried again."
                )
            for partition, records in reader.poll(_POLL_MS).items():
                yield from _within(records, load.ranges[partition][1])
    except OffsetsExpired as error:
        raise _gone(load, "the messages have expired") from error
    finally:
        reader.close()


def _passed(positions: dict[int, int], ranges: Ranges) -> bool:
    return all(positions[partition] >= end for partition, (_, end) in ranges.items())


def _within(records: Iterable[Record], end: int) -> Iterator[Record]:
    return (record for record in records if record.offset < end)


def _sent(load: LoadRow, settings: Settings, loads: Loads, schema: Schema | None = None) -> Load:
    """Return a load as the warehouse takes it, with a table that has the columns of a schema."""
    table = table_now(settings, loads.session, known=schema)
    return Load(load.load_id, load.writer, load.version, table, load.attempt)


def _refused(error: LoadFailed) -> Exception:
    """Tell a load that can succeed under a higher attempt from one whose rows somebody has to look at."""
    if not error.rows:
        return Unavailable(error.what, "It is tried again under a new id.")
    return StreamStopped(f"{error.what} {'; '.join(error.rows[:5])}", error.todo or "Compare the table's columns.")


def _gone(load: LoadRow, why: str) -> StreamStopped:
    days = ", ".join(str(day) for day in load.days[:10])
    return StreamStopped(
        f"Load {load.load_id} was left open, is not in the warehouse and cannot be made again: {why}.",
        f"Give it up with: engagement-platform warehouse give-up {load.load_id}; then rebuild: {days}.",
    )
