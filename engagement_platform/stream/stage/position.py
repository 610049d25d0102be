"""Where the stage stands: behind the last batch that was entered in the platform's database, and what it has since."""

import logging
from collections.abc import Iterable, Mapping

from engagement_platform.adapters.kafka.consumer import OffsetsExpired, TopicChanged
from engagement_platform.adapters.platform import published
from engagement_platform.adapters.platform.loads import Begins, LoadRow
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.adapters.source.history import days_published_since
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.domain.checkpoint import missing_ranges
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.coverage import Coverage, common
from engagement_platform.domain.duplicates import WalPositions
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.stage.batch import Batch
from engagement_platform.stream.stage.clients import POLL_MS, Clients
from engagement_platform.stream.stage.open_loads import settle_load

CLOCKS_APART_US = 60_000_000
"""How far the clocks of two relays may be apart whose headers and checkpoints are compared."""


def read_before(settings: Settings, last: LoadRow, partitions: Iterable[int]) -> Coverage:
    """Return ids that were published before every message that the loads up to the last one have not read."""
    moments = [last.unseen_at.get(partition, 0) for partition in partitions]
    then = published.before_unseen(settings, min(moments, default=0) - CLOCKS_APART_US)
    if then is not None:
        return Coverage(then.hi, tuple(missing_ranges(then)))
    # No checkpoint is so old. Then those from the last load on, and what was open when the first one was kept.
    loaded, kept = Coverage((last.lowest_id or 0) - 1), published.generations(settings)
    return common(loaded, Coverage(kept[0][0].hi, tuple(missing_ranges(kept[0][0])))) if kept else loaded


log = logging.getLogger("engagement_platform.stage")

SLOW_SECONDS = 2_400.0
"""What the warehouse, or a scan of the source, may take before the stage counts as hung: a job of BigQuery waits for up
to half an hour, and must not cost relay and tally their lease.
"""


class Position:
    """The place of one stage. The rows in the platform database say it; `batch` is what was gathered behind that."""

    def __init__(self, settings: Settings, control: Control, clients: Clients, readers: Readers) -> None:
        self._settings = settings
        self._readers = readers
        self._control = control
        self._reader = clients.reader
        self._loads = clients.loads
        self._warehouse = clients.warehouse
        self._table_id = clients.table_id
        self.version = 0
        """Of the last batch that was entered."""
        self._shard = control.shard
        self._at_first: Mapping[int, int] = {}
        self._entered: Mapping[int, int] = {}
        """Where the partitions stand by the last batch that was entered."""
        self._unseen: Mapping[int, int] = {}
        self.batch = Batch.at({})

    @property
    def schema(self) -> Schema:
        """All columns that lines of the batch may have."""
        return self._readers.schema

    def gather(self, most: int) -> None:
        """Add to the batch what there is, at most so many messages, of which there is one at least to be taken.

        Where a schema cannot be asked for, all of it is read again.
        """
        records = self._reader.poll(POLL_MS, most)
        self._readers.meet(header for messages in records.values() for m in messages for header in m.headers)
        self.batch.add(records, self._reader, self._readers.lines)

    def entered(self, load: LoadRow) -> None:
        """Begin the next batch behind one that was entered."""
        self.version, self._unseen = load.version, load.unseen_at
        self._entered = self._shard.part_of(load.next_offsets)
        self.batch = Batch.at(self._entered, self._shard.part_of(load.wal_ends))
        self._control.progress.offsets = dict(self._entered)

    def begins(self) -> Begins:
        """Return where this stage believes that its partitions stand, as was entered last."""
        return Begins({p: self._entered.get(p) for p in self.batch.begins}, self._at_first)

    def resume(self) -> None:
        """Complete what is open and go on behind the last batch that was entered."""
        self._control.expect(SLOW_SECONDS)
        for load in self._own_open_loads():
            settle_load(self._warehouse, self._loads, load, self._settings, self._readers)
        last = self._loads.last_load(self._table_id)
        wal_ends: WalPositions = {}
        if last is None:
            self.version, offsets = 0, self._reader.beginning_offsets()
            self._at_first = offsets if self._shard.is_whole else self._reader.beginning_offsets_of_all()
            self._entered = self._shard.part_of(self._at_first)
        elif last.topic_id != self._reader.topic_id:
            raise TopicChanged(
                f"The warehouse has loads of topic {last.topic_id}, but Kafka has {self._reader.topic_id}."
            )
        else:
            self.version, offsets = last.version, self._shard.part_of(last.next_offsets)
            self._entered, self._unseen = offsets, last.unseen_at
            wal_ends = self._shard.part_of(last.wal_ends)
        self._read_from(offsets, wal_ends)

    def _own_open_loads(self) -> list[LoadRow]:
        """Return the open loads with a message of this shard, whoever has entered them: it may have had others then.

        Those of a shard that lives beside this one have none, unless the partitions were divided anew.
        """
        loads = self._loads.open_loads(self._table_id)
        return [load for load in loads if self._shard.is_whole or self._shard.owned(load.ranges.keys())]

    def _is_where_it_was(self) -> bool:
        """Say whether nothing was entered since this stage's last batch, and that is loaded."""
        last = self._loads.last_load(self._table_id)
        if self._shard.is_whole:
            return (0 if last is None else last.version) == self.version and (
                last is None or last.closed_at is not None
            )
        stand = self._at_first if last is None else last.next_offsets
        is_entered = all(stand.get(p) == at for p, at in self.begins().entered.items())
        return is_entered and not self._own_open_loads()

    def take_up(self) -> None:
        """Go on behind what is gathered, if nothing was entered meanwhile; else from what was entered.

        Messages that a poll had taken when it failed are read again.
        """
        self._reader.verify()
        if self._is_where_it_was():
            self._reader.seek(self.batch.ends, self.batch.wal_ends)
        else:
            self.resume()

    def follow_new_partitions(self) -> None:
        """Read partitions that were added, from their beginning."""
        new = self._reader.partitions - self.batch.begins.keys()
        if new:
            log.info("new partitions: %s", sorted(new))
            self._read_from(self.batch.begins, self.batch.wal_begins)

    def skip_what_expired(self, error: OffsetsExpired) -> None:
        """Go on with the oldest messages there are; the days of those that are gone have to be rebuilt.

        Which ids are gone nobody knows any more. So the days are noted of all that was not yet published when the
        first message that was not read was: also of those whose transactions had been open for long.
        """
        self._reader.verify()  # else the offsets are missing because the topic is another one
        self._control.expect(SLOW_SECONDS)
        last = self._loads.last_load(self._table_id)
        if last is not None:
            days = days_published_since(
                origin_of(self._settings), read_before(self._settings, last, self._reader.partitions)
            )
            DueDays(self._loads.session).note(self._table_id, days, "Kafka's messages expired before they were loaded")
            log.error("%s To be rebuilt: %s", error.what, ", ".join(map(str, days)))
        oldest = self._reader.beginning_offsets()
        self._read_from({p: max(at, oldest.get(p, 0)) for p, at in self.batch.begins.items()}, self.batch.wal_begins)

    def has_reached(self, goal: Mapping[int, int]) -> bool:
        """Say whether everything before these offsets was read."""
        positions = self._reader.positions()
        return all(positions.get(partition, 0) >= end for partition, end in goal.items())

    def unseen_at(self) -> dict[int, int]:
        """Return for each partition a bound below the header `unseen-at` of every message behind the batch.

        Within a partition it is that of the last message. One that was read to its end after the newest message of the
        batch came has no message of an earlier transaction left.
        """
        batch = self.batch
        ends, newest = self._reader.end_offsets(), max(batch.latest.values(), default=0)
        latest = {**self._unseen, **batch.latest}
        return {p: max(latest.get(p, 0), newest if at >= ends.get(p, 0) else 0) for p, at in batch.ends.items()}

    def _read_from(self, offsets: Mapping[int, int], wal: WalPositions) -> None:
        """Read all partitions of the shard; one that was never read is new and starts at 0."""
        begins = dict.fromkeys(self._reader.partitions, 0) | dict(offsets)
        self.batch = Batch.at(begins, wal)
        self._reader.seek(begins, wal)
