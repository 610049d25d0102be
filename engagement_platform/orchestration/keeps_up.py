"""Checks of what a stream fills all the time: does each loop keep up, and is its latency as promised.

A sensor evaluates them: when the outcome changes, when another run streams, and each hour. So the event log stays
small, and red is there within seconds. Each can also be executed by hand.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
import msgspec

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.judgement.stream import unreadable
from engagement_platform.domain.keeps_up import Outcome, is_as_promised, keeps_up
from engagement_platform.domain.latency import Latencies
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.domain.stream_names import own_name
from engagement_platform.health.last_hour import LastHour
from engagement_platform.health.letters import LetterWatch
from engagement_platform.health.read import status_in
from engagement_platform.orchestration import private
from engagement_platform.orchestration.assets import streamed_key
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.warehouse.events import UP_TO_DATE, events_key, up_to_date_key
from engagement_platform.settings import Settings, about, load
from engagement_platform.stream.registry import LOOPS

KEEPS_UP, AS_PROMISED = "keeps_up", "latency_as_promised"
OF_LOOPS = frozenset({KEEPS_UP, AS_PROMISED, UP_TO_DATE})
"""The names of these checks."""
LOOK_SECONDS = 15
EVERY_SECONDS = 3600.0
"""How often an outcome is told that stays as it is."""
_LATENCY_SECONDS = 60.0
_LETTERS_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of all that a stream fills."""

    run_id: str | None
    """The run that streams, or streamed last without having ended."""
    outcomes: Mapping[dg.AssetCheckKey, Outcome]
    is_read: bool = True
    """Whether the platform's database told it; else nobody knows which run streams."""


@dataclass(eq=False)
class Judge:
    """Looks again and again, and remembers what is dear to read."""

    stream: EventStream
    _hour: LastHour = field(default_factory=LastHour)
    _latencies: Mapping[str, Latencies] = field(default_factory=dict)
    _letters: LetterCounts | str = ""
    _watch: LetterWatch | None = None
    _has_schema: bool = False
    _latencies_due: Interval = field(default_factory=lambda: Interval(_LATENCY_SECONDS, is_due=True))
    _letters_due: Interval = field(default_factory=lambda: Interval(_LETTERS_SECONDS, is_due=True))

    def look(self) -> Judged:
        """Judge by what can be read now: settings that cannot be used are nothing that can be read."""
        try:
            return self._read(load(self.stream.name))
        except EngagementError as error:
            self._has_schema = False  # perhaps it is that
            cannot = keeps_up((), [unreadable(self.stream.name, error, time.time())])
            outcomes = {key: cannot for key in keys_of(self.stream) if key.name != AS_PROMISED}
            return Judged(None, outcomes, is_read=False)

    def _read(self, settings: Settings) -> Judged:
        if self._letters_due.is_due:
            self._watch = self._watch or LetterWatch(settings)
            self._letters = self._watch.counts()
            self._letters_due.restart()
        if not self._has_schema:
            ensure_schema(settings)
            self._has_schema = True
        with Session(settings, "judge") as session:
            status = status_in(settings, session, self._letters)
            if self._latencies_due.is_due:
                self._latencies = self._hour.read(session, time.monotonic())
                self._latencies_due.restart()
        conditions, lease = status.conditions, status.snapshot.lease
        outcomes = {up_to_date_key(self.stream): keeps_up(("relay", "stage"), conditions)}
        for loop in status.terms.expected:
            asset = streamed_key(self.stream, loop.name)
            outcomes[dg.AssetCheckKey(asset, KEEPS_UP)] = keeps_up((loop.name,), conditions)
            latencies = self._latencies.get(loop.name, Latencies())
            outcomes[dg.AssetCheckKey(asset, AS_PROMISED)] = is_as_promised(latencies, loop.promise)
        return Judged(lease.run_id if lease and lease.released_at is None else None, outcomes)


def keys_of(stream: EventStream) -> list[dg.AssetCheckKey]:
    """Return the keys of all these checks."""
    return [spec.key for spec in _specs(stream)]


def _specs(stream: EventStream) -> Iterator[dg.AssetCheckSpec]:
    for loop in LOOPS:
        asset = streamed_key(stream, loop.name)
        yield dg.AssetCheckSpec(
            KEEPS_UP,
            asset=asset,
            description=f"{loop.name.capitalize()} streams, within its promise, and nothing of it waits for a person: "
            "no pause, no open breaker, no dead letter.",
        )
        yield dg.AssetCheckSpec(
            AS_PROMISED,
            asset=asset,
            description="99 of 100 events of the last hour came within what is promised, from their commit.",
        )
    yield dg.AssetCheckSpec(
        UP_TO_DATE,
        asset=events_key(stream),
        description="Relay and stage bring what happens to the table, within the promise.",
    )


def loops_keep_up_of(stream: EventStream) -> dg.AssetChecksDefinition:
    """Return the checks of a stream, to be executed by hand."""

    @dg.multi_asset_check(name=own_name(stream.name, "loops_keep_up"), specs=list(_specs(stream)), can_subset=True)
    def loops_keep_up(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Look once."""
        with explained(stream.name):
            outcomes = Judge(stream).look().outcomes
        for key in context.selected_asset_check_keys:
            if (outcome := outcomes.get(key)) is not None:
                yield _result(key, outcome)

    return loops_keep_up


def _result(key: dg.AssetCheckKey, outcome: Outcome) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=outcome.passed,
        severity=_severity(outcome),
        description=outcome.said,
    )


def _severity(outcome: Outcome) -> dg.AssetCheckSeverity:
    is_red = outcome.is_severe or outcome.passed
    return dg.AssetCheckSeverity.ERROR if is_red else dg.AssetCheckSeverity.WARN


class Said(msgspec.Struct, frozen=True):
    """What was told of a check last: when, for which run, and what."""

    at: float
    run_id: str
    passed: bool
    is_severe: bool
    about: tuple[str, ...]

    def is_still_so(self, outcome: Outcome, run_id: str, now: float, forgotten_at: float) -> bool:
        """Say whether nothing has to be told: nothing has changed, and Dagster has not forgotten it."""
        before = Outcome(self.passed, "", self.is_severe, self.about)
        is_kept = self.at > forgotten_at and now - self.at < EVERY_SECONDS
        return self.run_id == run_id and before.is_about_the_same(outcome) and is_kept


def judge_loops_of(stream: EventStream) -> dg.SensorDefinition:
    """Return the sensor of a stream."""
    judge = Judge(stream)

    @dg.sensor(
        name=own_name(stream.name, "judge_loops"),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the checks of what the stream fills, as soon as an outcome changes.",
    )
    def judge_loops(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with about(stream.name):
            return _tell(context, judge.look(), _forgotten_at(context.instance, stream))

    return judge_loops


def forget_outcomes(instance: dg.DagsterInstance, stream: EventStream) -> None:
    """Let Dagster forget the outcomes of the loops' checks. The sensor tells the latest anew."""
    instance.wipe_assets([streamed_key(stream, loop.name) for loop in LOOPS])
    private.note(instance, _forgotten_key(stream), str(time.time()))


def _forgotten_at(instance: dg.DagsterInstance, stream: EventStream) -> float:
    """Return when that was, in seconds since 1970; 0 for never."""
    return float(private.noted(instance, _forgotten_key(stream)) or 0.0)


def _forgotten_key(stream: EventStream) -> str:
    return f"engagement/outcomes_forgotten/{stream.name}"


def _tell(context: dg.SensorEvaluationContext, judged: Judged, forgotten_at: float) -> dg.SensorResult:
    """Report the outcomes that are news.

    Those of the loops' assets are reported in the run that streams, as their materializations are: Dagster shows an
    outcome only beside the materializations of its own run, or until the next one, which comes within half a minute.
    They are deleted with that run.
    """
    before, now = remembered(context.cursor), datetime.now(UTC).timestamp()
    events, said = [], dict(before)
    for key, outcome in judged.outcomes.items():
        name = f"{key.asset_key.to_user_string()}:{key.name}"
        last = before.get(name)
        run = _run_of(context.instance, key, judged, last)
        run_id = run.run_id if run else ""
        if last is not None and last.is_still_so(outcome, run_id, now, forgotten_at):
            continue
        said[name] = Said(now, run_id, outcome.passed, outcome.is_severe, outcome.about)
        evaluation = _evaluation(key, outcome)
        if run is None:
            events.append(evaluation)
        else:
            private.report_check(context.instance, run, evaluation)
    cursor = msgspec.json.encode(said).decode()
    failed = [name for name, one in said.items() if not one.passed]
    words = f"Not as promised: {', '.join(failed)}." if failed else "All loops keep up."
    return dg.SensorResult(skip_reason=words, cursor=cursor, asset_events=events)


def _run_of(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, judged: Judged, last: Said | None
) -> dg.DagsterRun | None:
    """Return the run to which an outcome belongs; None for one of the table, and while nobody streams.

    While nobody knows who streams it is the run of before: Dagster keeps one outcome for each run, and shows that of
    the run whose first one came last.
    """
    run_id = judged.run_id if judged.is_read else last and last.run_id
    return instance.get_run_by_id(run_id) if run_id and key.name != UP_TO_DATE else None


def _evaluation(key: dg.AssetCheckKey, outcome: Outcome) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=outcome.passed,
        severity=_severity(outcome),
        description=outcome.said,
    )


def remembered(cursor: str | None) -> dict[str, Said]:
    """Return what a cursor holds; nothing for one that cannot be read."""
    try:
        return msgspec.json.decode(cursor or "{}", type=dict[str, Said])
    except msgspec.DecodeError:
        return {}
