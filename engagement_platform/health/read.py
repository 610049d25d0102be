"""Reads how the streams stand: status, alerts, page and metrics are readers of what this returns.

What is read each second is cheap: the lease, the loops, the pauses. Letters lie in Kafka and are read by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.forwarded import settled_to
from engagement_platform.adapters.platform.leases import Leases, loops_of, totals
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.run_beats import AtWork, RunBeats
from engagement_platform.adapters.streams import settings_of_location
from engagement_platform.domain.conditions import Condition
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.judgement.standing import Expected, Standing
from engagement_platform.domain.judgement.stream import conditions_of
from engagement_platform.domain.leases import LeaseSnapshot
from engagement_platform.domain.loop_state import Pause
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.progress import BREAKER, Figures
from engagement_platform.domain.promises import NONE, promises
from engagement_platform.domain.shard_status import ShardStatus, left_of, over_all, somebody_streams
from engagement_platform.domain.status import (
    LoopStatus,
    Summary,
    lease_in_words,
    sum_up,
    summarize,
    with_conditions,
)
from engagement_platform.domain.stream_names import aimed
from engagement_platform.health.letters import LetterWatch
from engagement_platform.settings import Settings, about
from engagement_platform.stream.registry import DIVIDED, LOOPS, NAMES

SILENT_SECONDS = 20.0
"""A run of the warehouse that gives no sign of life for this long may be dead: four heartbeats are missing."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a stream is held to, by its settings."""

    stream: str
    expected: tuple[Expected, ...]
    """The loops that there should be, with what is promised of each."""
    is_kept_alive: bool
    """Whether a sensor keeps a run alive, which it does unless the stream is drained."""
    retry_seconds: float
    """For how long an event is tried at the partner before it is a dead letter."""


def terms_of(settings: Settings) -> Terms:
    """Return what a stream is held to."""
    promised = promises(settings.warehouse.kind, settings.effective_stage_seconds)
    expected = tuple(
        Expected(loop.name, loop.destination, promised.get(loop.destination, NONE), loop.is_divided) for loop in LOOPS
    )
    return Terms(settings.stream, expected, settings.lease.seconds > 0, settings.api.retry_seconds)


@dataclass(frozen=True, slots=True)
class Status:
    """All that is shown of a stream."""

    terms: Terms
    snapshot: LeaseSnapshot
    loops: Mapping[str, LoopStatus]
    pauses: Mapping[str, Pause]
    letters: LetterCounts | str
    """How many letters there are, or why that is not known."""
    totals: Mapping[str, Figures] = field(default_factory=dict)
    """What each loop has done over all hand-overs."""
    settled_to: datetime | None = None
    """While the partner takes nothing: what came to Kafka before that time is delivered or a dead letter."""
    shards: Sequence[ShardStatus] = ()
    """Each of the runs that divide the partitions; the loops are as they stand over all of them."""

    @property
    def is_divided(self) -> bool:
        """Whether several runs divide the partitions."""
        return len(self.shards) > 1

    @property
    def somebody_streams(self) -> bool:
        """Whether a run lives that has the stream, or a shard of it."""
        return somebody_streams(self.shards, self.snapshot)

    def left(self, loop: str) -> Sequence[int]:
        """Return the shards that nobody has, of those that should have a loop, where others have one."""
        return [shard.index for shard in left_of(self.shards) if loop in DIVIDED or shard.index == 0]

    @property
    def standing(self) -> Standing:
        """How the stream stands, as it is judged."""
        living = [shard for shard in self.shards if shard.lives]
        judged = living if self.is_divided and living else ()
        return Standing(
            self.terms.stream,
            judged[0].snapshot if judged else self.snapshot,
            over_all(judged, DIVIDED) if judged else self.loops,
            self.pauses,
            self.terms.expected,
            None if isinstance(self.letters, str) else self.letters,
            self.terms.is_kept_alive,
            self.terms.retry_seconds,
            self.settled_to,
            self.shards if self.is_divided else (),
        )

    @property
    def conditions(self) -> list[Condition]:
        """What is wrong, the most important first. Its commands name the stream."""
        with about(self.terms.stream):
            return [replace(one, todo=aimed(one.todo)) for one in conditions_of(self.standing)]

    @property
    def summary(self) -> Summary:
        """The sentence that comes first."""
        standing = self.standing
        left = " ".join(f"Shard {shard.index}: {lease_in_words(shard.snapshot)}" for shard in standing.left)
        streams = summarize(standing.snapshot, standing.loops, self.pauses, NAMES)
        return with_conditions(Summary(well=False, sentence=left) if left else streams, conditions_of(standing))


@dataclass(frozen=True, slots=True)
class Overview:
    """The streams that were asked for."""

    streams: Mapping[str, Status | EngagementError]
    """Name -> how it stands, or why that cannot be read."""
    runs: Sequence[AtWork]
    """The runs that rebuild, compare or sum up days at this moment, of whichever stream."""

    @property
    def summaries(self) -> Mapping[str, Summary]:
        """The sentence of each stream."""
        return {
            name: Summary(well=False, sentence=str(status)) if isinstance(status, EngagementError) else status.summary
            for name, status in self.streams.items()
        }

    @property
    def summary(self) -> Summary:
        """The sentence that comes first."""
        return sum_up(self.summaries)


def read_each(streams: Mapping[str, Settings | EngagementError]) -> Overview:
    """Read everything. Kafka may be away. Raises EngagementError when the only stream cannot be read."""
    overview = overview_of(streams)
    statuses = list(overview.streams.values())
    if len(statuses) == 1 and isinstance(statuses[0], EngagementError):
        raise statuses[0]
    return overview


def overview_of(streams: Mapping[str, Settings | EngagementError]) -> Overview:
    """Read everything, each stream as far as it can be read. Kafka may be away. Raises nothing."""
    read: dict[str, Status | EngagementError] = {}
    for name, settings in streams.items():
        try:
            if isinstance(settings, EngagementError):
                raise settings
            with about(name):
                read[name] = _read(settings)
        except EngagementError as error:
            read[name] = error
    return Overview(read, runs_at_work())


def _read(settings: Settings) -> Status:
    ensure_schema(settings)
    letters = letters_of(settings)
    with Session(settings, "status") as session:
        return status_in(settings, session, letters, with_totals=True)


def status_in(
    settings: Settings, session: Session, letters: LetterCounts | str, *, with_totals: bool = False
) -> Status:
    """Read how a stream stands, over a session that is kept; `letters` are those of the last look at them.

    Three small queries, and two more for each further shard. The totals are read from all runs of the last day: some
    hundred rows. Raises Unavailable.
    """
    first = _shard_in(session, 0)  # which says how many there are: settings may say how many there will be
    shards = [first, *(_shard_in(session, shard) for shard in range(1, first.snapshot.divided))]
    pauses = Pauses(session).present()
    loops = over_all(shards, DIVIDED)
    return Status(
        terms_of(settings),
        shards[0].snapshot,
        loops,
        pauses,
        letters,
        totals(session, len(shards)) if with_totals else {},
        settled_to(session, settings) if _is_partner_away(loops) else None,
        shards,
    )


def _shard_in(session: Session, shard: int) -> ShardStatus:
    snapshot = Leases(session, shard).snapshot()
    return ShardStatus(shard, snapshot, loops_of(session, snapshot.lease.run_id) if snapshot.lease else {})


def _is_partner_away(loops: Mapping[str, LoopStatus]) -> bool:
    return any(status.figures.choices.get(BREAKER, "closed") != "closed" for status in loops.values())


def runs_at_work() -> Sequence[AtWork]:
    """Return the runs at work; none where nobody can tell."""
    try:
        with RunBeats.opened(settings_of_location(), "status") as beats:
            return beats.at_work()
    except EngagementError:  # each stream's block says it
        return ()


def letters_of(settings: Settings) -> LetterCounts | str:
    """Return how many letters there are, or why that is not known. Reads all of them: not each second."""
    return LetterWatch(settings).counts()
