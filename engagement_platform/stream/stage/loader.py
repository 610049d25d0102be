"""Loads one batch: it is entered in the platform's database, after any rebuild of its days, and then sent."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engagement_platform.adapters.platform.loads import Admission, LoadRow
from engagement_platform.adapters.platform.rebuilds import RebuildRow, Rebuilds
from engagement_platform.domain.batches import Line, Rejected, load_id, name_of, uncovered
from engagement_platform.domain.errors import Superseded
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.rejections import Judged
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Control
from engagement_platform.stream.dead_letters import DeadLetterWriter
from engagement_platform.stream.rejection_limit import RejectionLimit
from engagement_platform.stream.stage import batch_files
from engagement_platform.stream.stage.batch import WRITER
from engagement_platform.stream.stage.clients import Clients
from engagement_platform.stream.stage.open_loads import SILENT_SECONDS, Silence, deliver, settle_rebuild
from engagement_platform.stream.stage.position import SLOW_SECONDS, Position
from engagement_platform.stream.supervisor import Supervision

_REBUILD_PAUSE = 0.1


@dataclass(eq=False)
class Loader:
    """Loads the batches of one stage."""

    settings: Settings
    control: Control
    clients: Clients
    position: Position
    supervision: Supervision
    limit: RejectionLimit
    _silence: Silence = field(default_factory=Silence, init=False)

    def __post_init__(self) -> None:
        self._dead_letters = DeadLetterWriter(self.settings, WRITER)

    def load(self) -> LoadRow | None:
        """Enter the batch that was gathered, send it, and begin the next one behind it.

        Returns what was loaded; None when another stage has entered that version, or has the partitions. Raises
        StreamStopped when too many
        messages of the batch are no events, and Unavailable.
        """
        self.clients.reader.verify()
        lines, load = self._judged()
        chosen, entered = self._enter(load, lines)
        if entered is None:
            self.position.resume()
            return None
        load = replace(entered, unseen_at=load.unseen_at)
        self.limit.done()
        if chosen:
            self.control.expect(SLOW_SECONDS)
            deliver(
                self.clients.warehouse,
                self.clients.loads,
                load,
                chosen,
                self.settings,
                schema=self.position.schema,
            )
        self.position.entered(load)
        return replace(load, rows=len(chosen))

    def _judged(self) -> tuple[list[Line], LoadRow]:
        """Return the lines of the batch and its row, with what was rejected among the dead letters."""
        batch, reader = self.position.batch, self.clients.reader
        lines, rejected = batch.split()
        ranges = {p: (begin, batch.ends[p]) for p, begin in batch.begins.items() if batch.ends[p] > begin}
        self.limit.require(Judged(batch.sizes, batch.rejected), rejected[0].reason if rejected else "")
        self._bury(rejected[batch.buried :], name_of(self.settings.topics.events, ranges))
        batch.buried = len(rejected)
        return lines, LoadRow(
            table_id=self.clients.table_id,
            writer=self.control.shard.named(WRITER),
            version=self.position.version + 1,
            load_id=load_id(self.clients.table_id, reader.topic_id, ranges),
            topic_id=reader.topic_id,
            ranges=ranges,
            next_offsets=batch.ends,
            days=tuple(sorted({line.day for line in lines})),
            rows=len(lines),
            rejected=len(rejected),
            unseen_at=self.position.unseen_at(),
            wal_begins=batch.wal_begins,
            wal_ends=batch.wal_ends,
        )

    def _bury(self, rejected: Sequence[Rejected], name: str) -> None:
        """Keep what was rejected where people find it. A stage that dies after this does it again."""
        if rejected:
            batch_files.keep_rejected(batch_files.folder_of(self.settings), name, rejected)
            self._dead_letters.keep_rejected(rejected)

    def _enter(self, load: LoadRow, lines: list[Line]) -> tuple[list[Line], LoadRow | None]:
        """Enter a load with the lines that no rebuilt day holds; return them and its row. None: it was not entered."""
        while not self.control.should_stop():
            with self.clients.loads.admission(load.table_id, load.days) as admission:
                if not admission.rebuilds:
                    chosen = uncovered(lines, admission.coverages)
                    ids = [line.id for line in chosen]
                    chosen_load = replace(
                        load,
                        rows=len(chosen),
                        covered=len(lines) - len(chosen),
                        lowest_id=min(ids, default=None),
                        highest_id=max(ids, default=None),
                    )
                    return chosen, self._open(admission, chosen_load)
            self._wait_for(admission.rebuilds)
        raise Superseded("The stage ends before its batch was entered; the next one reads it again.")

    def _open(self, admission: Admission, load: LoadRow) -> LoadRow | None:
        if self.control.shard.is_whole:
            return load if admission.open(load) else None
        return admission.open_in_turn(load, self.position.begins())

    def _wait_for(self, rebuilds: Sequence[RebuildRow]) -> None:
        """Wait for rebuilds of the batch's days; settle those whose process is gone.

        That is planned, and passes: the stage stands not still by it, and is behind once its promise is broken.
        """
        days = ", ".join(str(rebuild.day) for rebuild in rebuilds)
        reason = "a live load of that day comes after it"
        state = LoopState(Activity.GIVES_WAY, time.time(), f"the rebuild of {days}", reason)
        self.supervision.works(but=state)
        for rebuild in rebuilds:
            if self._silence.is_dead(rebuild, SILENT_SECONDS, time.monotonic()):
                self.control.expect(SLOW_SECONDS)
                settle_rebuild(
                    self.clients.warehouse, Rebuilds(self.clients.loads.session), rebuild, self.clients.table
                )
        self.control.wait(_REBUILD_PAUSE)
