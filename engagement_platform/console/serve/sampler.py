"""Reads how the streams stand, by itself and not for each request: pages, API and metrics show the latest `Sample`.

What is cheap is read each second while somebody looks, and every five seconds else: the lease, the loops, the pauses.
What lies in Redis has a thread of its own, and so has what takes longer (dead letters, totals): a server that hangs
holds back only what it is asked for. A sample always is: where the platform's database is away it says so.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from engagement_platform.adapters.platform.connection import NoTable, Session
from engagement_platform.adapters.platform.kept import kept
from engagement_platform.adapters.platform.leases import Leases, totals
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.run_beats import AtWork
from engagement_platform.adapters.redis.ranking_script import Ranked
from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.streams import stream_of
from engagement_platform.console.serve.dagster import DagsterReading
from engagement_platform.domain.conditions import Condition, continued
from engagement_platform.domain.dagster_facts import DagsterFacts
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.judgement.dagster import dagster_conditions, unreadable_dagster
from engagement_platform.domain.leases import Lease
from engagement_platform.domain.metric_values import Kept
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.progress import DONE, Figures
from engagement_platform.health.conditions import conditions_of
from engagement_platform.health.letters import LetterWatch
from engagement_platform.health.read import Status, runs_at_work, status_in
from engagement_platform.settings import Settings, about
from engagement_platform.stream.registry import LOOPS

WATCHED_SECONDS = 1.0
IDLE_SECONDS = 5.0
"""How often is read while nobody looks: the plots go on, for a fifth of what it takes."""
LOOKS_FOR_SECONDS = 30.0
"""For so long after a request somebody counts as looking."""
IN_VAIN_SECONDS = 1.0
"""Who has waited for so long, and got no answer, does not ask the same server for the next stream at once."""
SLOW_SECONDS = 10.0
KEPT_SECONDS = 3_600.0
POINT_SECONDS = 5.0
"""What is read within so long becomes one point: plots of an hour are drawn from a fifth of what was read."""
MOST_POINTS = int(KEPT_SECONDS / POINT_SECONDS) + 1
"""Those of an hour, wherever the clock is set."""
TOP = 10
LEASES = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one moment, for the plots: loop -> value; a loop that has none is left out."""

    at: float
    rate: Mapping[str, float]
    """Events a second that it handles."""
    p50: Mapping[str, float]
    """Seconds since commit that half of the last minute's events did not exceed."""
    p99: Mapping[str, float]

    def with_next(self, later: "Point") -> "Point":
        """Return one point for both: the later figures, with the higher latencies, so that no spike is lost."""
        return replace(later, p50=_higher(self.p50, later.p50), p99=_higher(self.p99, later.p99))


def _higher(earlier: Mapping[str, float], later: Mapping[str, float]) -> Mapping[str, float]:
    return {name: max(value, earlier.get(name, value)) for name, value in later.items()}


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was looked at most in the window of the views."""

    dimension: str
    measure: str
    rows: tuple[Ranked, ...]
    window_seconds: float


@dataclass(frozen=True, slots=True)
class StreamSample:
    """How one stream stood."""

    name: str
    status: Status | EngagementError
    """How it stood, or why that cannot be read."""
    settings: Settings | EngagementError
    ranking: Ranking | EngagementError | None = None
    """None before it was read."""
    points: Sequence[Point] = ()
    """The figures of the last hour, the oldest first."""
    leases: Sequence[Lease] = ()
    """The newest ones, the newest first."""
    kept: Kept | None = None
    """Checkpoint, open gaps, loads and days that are due; None before they were read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How all streams stood at one moment."""

    number: int
    """Grows by one with each sample of this process."""
    at: float
    """When the reading began, in seconds since 1970, by this machine's clock."""
    streams: Mapping[str, StreamSample]
    runs: Sequence[AtWork] = ()
    """The runs that rebuild, compare or sum up days."""
    conditions: tuple[Condition, ...] = ()
    """What is wrong with any stream, and with all of them; the most important first."""
    dagster: DagsterFacts | EngagementError | None = None
    """What only Dagster knows, or why that cannot be read; None before it was read, and where there is no Dagster."""


class Beat(threading.Thread):
    """Does something again and again until it is stopped. What it raises is logged, and it goes on."""

    def __init__(self, name: str, work: Callable[[], object], pause: Callable[[], float]) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._pause = work, pause
        self._wake = threading.Event()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Work, pause, and so on."""
        while not self.stopped.is_set():
            begun = time.monotonic()
            try:
                self._work()
            except Exception:
                _log.exception("The page could not read what it shows; it tries again.")
            self._wake.wait(max(0.05, self._pause() - (time.monotonic() - begun)))
            self._wake.clear()

    def wake(self) -> None:
        """End the present pause."""
        self._wake.set()

    def stop(self) -> None:
        """Let it end; returns at once."""
        self.stopped.set()
        self.wake()


class StreamReader:
    """Reads one stream, over connections that are kept. Each method is for one thread."""

    def __init__(self, name: str, settings: Settings | EngagementError) -> None:
        self.name, self.settings = name, settings
        self.letters: LetterCounts | str = "They have not been read yet."
        self.totals: Mapping[str, Figures] = {}
        self.kept: Kept | None = None
        self.ranking: Ranking | EngagementError | None = None
        self.points: deque[Point] = deque(maxlen=MOST_POINTS)
        self.leases: Sequence[Lease] = ()
        self._shards = 1
        self._session: Session | None = None
        self._slow: Session | None = None
        self._views: Views | None = None
        self._letter_watch: LetterWatch | None = None
        self._has_schema = False

    def read(self, now: float, away: Unavailable | None = None) -> StreamSample:
        """Read what is cheap; with `away`, which says why the platform's database cannot be read, do not ask it."""
        with about(self.name):
            status = self._status() if away is None or isinstance(self.settings, EngagementError) else away
        while self.points and self.points[-1].at > now:  # the clock was set back
            self.points.pop()
        if isinstance(status, Status):
            point = _point(now, status)
            if self.points and self.points[-1].at // POINT_SECONDS == now // POINT_SECONDS:
                point = self.points.pop().with_next(point)
            self.points.append(point)
        while self.points and self.points[0].at < now - KEPT_SECONDS:
            self.points.popleft()
        points = tuple(self.points)
        return StreamSample(self.name, status, self.settings, self.ranking, points, self.leases, self.kept)

    def _status(self) -> Status | EngagementError:
        if isinstance(self.settings, EngagementError):
            return self.settings
        try:
            if not self._has_schema:
                ensure_schema(self.settings)
                self._has_schema = True
            self._session = self._session or Session(self.settings, "page")
            status = replace(status_in(self.settings, self._session, self.letters), totals=self.totals)
            self._shards = len(status.shards)
            return status
        except NoTable as error:  # the database was put back to an earlier copy, or emptied
            self._has_schema = False
            return error
        except EngagementError as error:
            return error

    def read_views(self) -> None:
        """Read the ranking."""
        if isinstance(self.settings, EngagementError):
            return
        with about(self.name):
            try:
                self._views = self._views or Views.connect(self.settings)
                self.ranking = ranking_of(self._views, self.settings)
            except EngagementError as error:
                self.ranking = error

    def read_slowly(self) -> None:
        """Read what takes longer: letters, all of them where there are new ones, and what loops did over hand-overs."""
        if isinstance(self.settings, EngagementError):
            return
        with about(self.name):
            self._letter_watch = self._letter_watch or LetterWatch(self.settings)
            self.letters = self._letter_watch.counts()
            try:
                self._slow = self._slow or Session(self.settings, "page")
                self.totals = totals(self._slow, self._shards)
                self.leases = Leases(self._slow).recent(LEASES)
                self.kept = kept(self.settings, self._slow)
            except EngagementError:
                return  # which the quick reading says

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._session, self._slow, self._views):
            if connection is not None:
                connection.close()


def _point(now: float, status: Status) -> Point:
    rate: dict[str, float] = {}
    quantiles: dict[float, dict[str, float]] = {0.5: {}, 0.99: {}}
    somebody_streams = status.somebody_streams
    for name, loop in status.loops.items():
        if not somebody_streams or loop.is_silent or loop.ended:  # what it told last is not so any more
            continue
        if (done := loop.figures.gauge(DONE)) is not None:
            rate[name] = done
        for share, values in quantiles.items():
            if (seconds := loop.latency(share)) is not None:
                values[name] = seconds
    return Point(now, rate, quantiles[0.5], quantiles[0.99])


def _of_dagster(dagster: DagsterFacts | EngagementError | None, now: float) -> list[Condition]:
    if dagster is None:
        return []
    if isinstance(dagster, EngagementError):
        return [unreadable_dagster(dagster, now)]
    return dagster_conditions(dagster)


def ranking_of(views: Views, settings: Settings) -> Ranking:
    """Read the ranking that people look at first: the first dimension that has names to show, by number of events."""
    counted = stream_of(settings).views
    dimension = next((one for one in counted.dimensions if one.shown), counted.dimensions[0])
    measure = counted.measures[0].name
    rows = tuple(views.top(dimension.name, measure, TOP).members)
    return Ranking(dimension.name, measure, rows, settings.views.window_seconds)


class Sampler:
    """The threads that read, and the latest sample."""

    def __init__(self, streams: Mapping[str, Settings | EngagementError]) -> None:
        self._readers = [StreamReader(name, settings) for name, settings in streams.items()]
        self._runs: Sequence[AtWork] = ()
        self._dagster = DagsterReading()
        self._asked = float("-inf")
        self._beat_at = time.monotonic()
        self._listeners: list[Callable[[], None]] = []
        self._has_read = threading.Event()
        self._turn = threading.Lock()
        not_read = EngagementError("It has not been read yet.", "Wait a moment.")
        self.latest = Sample(
            0,
            time.time(),
            {one.name: StreamSample(one.name, not_read, one.settings) for one in self._readers},
        )
        """The latest one. Replaced as a whole, so that whoever took it sees one moment."""
        self._beats = [
            Beat("page-sample", self._sample, self._pause),
            Beat("page-views", self._read_views, self._pause),
            Beat("page-slow", self._in_turn(self._read_slowly), lambda: SLOW_SECONDS),
            Beat("page-dagster", self._in_turn(self._dagster.read), lambda: SLOW_SECONDS),
        ]

    def start(self, patience: float = 3.0) -> None:
        """Begin to read; return when the first sample is there, or after `patience` seconds."""
        for beat in self._beats:
            beat.start()
        self._has_read.wait(patience)

    def stop(self) -> None:
        """End reading, and close the connections; a thread that waits for a server is left to end by itself."""
        for beat in self._beats:
            beat.stop()
        for beat in self._beats:
            beat.join(1.0)
        if not any(beat.is_alive() for beat in self._beats):
            for reader in self._readers:
                reader.close()

    def look(self) -> Sample:
        """Return the latest sample, and note that somebody looks."""
        was_idle = not self._is_watched()
        self._asked = time.monotonic()
        if was_idle:
            for beat in self._beats[:2]:
                beat.wake()
        return self.latest

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call something after each new sample, in the thread that reads; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _is_watched(self) -> bool:
        return bool(self._listeners) or time.monotonic() - self._asked < LOOKS_FOR_SECONDS

    def _pause(self) -> float:
        return WATCHED_SECONDS if self._is_watched() else IDLE_SECONDS

    def _sample(self) -> None:
        now = time.time()
        streams = self._read(now)
        dagster = self._dagster.present(now)
        others = _of_dagster(dagster, now)
        judged = conditions_of({name: stream.status for name, stream in streams.items()}, now, others)
        conditions = tuple(continued(judged, self.latest.conditions))
        self.latest = Sample(self.latest.number + 1, now, streams, self._runs, conditions, dagster)
        self._has_read.set()
        for listener in tuple(self._listeners):
            listener()

    def _read(self, now: float) -> dict[str, StreamSample]:
        """Read the streams. For a database that does not answer, which all of them share, is waited once."""
        streams: dict[str, StreamSample] = {}
        away: Unavailable | None = None
        for reader in self._readers:
            begun = self._beat_at = time.monotonic()
            streams[reader.name] = one = reader.read(now, away)
            if isinstance(one.status, Unavailable) and time.monotonic() - begun > IN_VAIN_SECONDS:
                away = one.status
        self._beat_at = time.monotonic()
        return streams

    @property
    def silent_seconds(self) -> float:
        """For how long the thread that reads has not come on, be it only to the next stream."""
        return time.monotonic() - self._beat_at

    def _read_views(self) -> None:
        for reader in self._readers:
            reader.read_views()

    def _in_turn(self, work: Callable[[], object]) -> Callable[[], None]:
        """Return work that is done while no other of its kind computes: together they would hold up requests."""

        def in_turn() -> None:
            is_alone = self._turn.acquire(timeout=IN_VAIN_SECONDS)  # what hangs, or is imported, holds up nothing
            try:
                work()
            finally:
                if is_alone:
                    self._turn.release()

        return in_turn

    def _read_slowly(self) -> None:
        self._runs = runs_at_work()
        for reader in self._readers:
            reader.read_slowly()


LOOP_OF = {loop.destination: loop.name for loop in LOOPS}
"""Destination -> the loop that brings events there."""
