"""The alert rules for Prometheus, each with the series that make it fire and stop.

What a rule is about is decided by the metrics, which are made of what page and webhook show. A rule adds for how long
something has to be so: what ends by itself within that time calls nobody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engagement_platform.domain import metrics as m
from engagement_platform.domain.conditions import Severity
from engagement_platform.domain.metrics import Metric

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
GUIDE = "docs/operating.md"

Series = tuple[tuple[str, str, str], ...]
"""Of each series: its name with labels, its values while something is wrong, and those afterwards, as promtool has it.

`{n}` stands for the number of samples, `{at}` for the second of the first of them, and `{last}` for the value that a
counter has come to by then.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule."""

    name: str
    expr: str
    seconds: int
    """For how long it has to be true before the alert fires."""
    severity: Severity
    summary: str
    """What happened; labels as {stream}."""
    todo: str
    series: Series
    labels: tuple[tuple[str, str], ...] = ()
    """Those that the alert of these series has, beside the severity."""
    after: int = 0
    """How many seconds a time has to stand still before the expression is true."""
    quiet: tuple[tuple[str, Series], ...] = ()
    """What looks alike and calls nobody: in words, and its series, of which the first values count."""


_MATCHER = re.compile(r"(\w+)(=~|!=|=)(.*)")


def of(metric: Metric, *matchers: str) -> str:
    """Return how a query names a metric, with matchers of labels such as status=queued."""
    parts = [_MATCHER.fullmatch(matcher) for matcher in matchers]
    labels = ",".join(f'{part[1]}{part[2]}"{part[3]}"' for part in parts if part)
    return f"{metric.sample}{{{labels}}}" if labels else metric.sample


def state(metric: Metric, states: str) -> str:
    """Return the matcher of a state set for one of some states: =waits, =~waits|refused, !=closed."""
    return f"{metric.name}{states}"


def age(metric: Metric, *matchers: str) -> str:
    """Return the query for how many seconds ago the time of a metric was."""
    return f"time() - {of(metric, *matchers)}"


_E = "stream=engagement"
_STREAM = (("stream", "engagement"),)
_STILL = state(m.STATE, f"=~{'|'.join(m.STILL_STATES)}")
_PASSES = state(m.STATE, f"=~{'|'.join(m.PASSING_STATES)}")
IS, IS_NOT, STANDS, GOES_ON = "1x{n}", "0x{n}", "0x{n}", "{at}+15x{n}"
"""The values of a series that is 1, that is 0, of a time that stands still, and of one that goes on."""
_LIVES = (of(m.STREAMING, _E), IS, IS)
_KEPT = (of(m.KEPT_ALIVE, _E), IS, IS)
_PROMISED = f"max by (stream, destination) ({of(m.PROMISE)})"


def _late(*matchers: str) -> str:
    """Return the query for where events are later than promised, of loops that pass events and are to do so.

    Of several pages that are scraped it takes the highest: two series for one destination cannot be compared.
    """
    return (
        f"max by (stream, destination) ({of(m.LAG_SECONDS, *matchers)} "
        f"and on (stream, loop) {of(m.STATE, _PASSES)} == 1 and on (stream) {of(m.KEPT_ALIVE)} == 1) > {_PROMISED}"
    )


def _series_of(loop: str, destination: str, promise: str, *, does: str = "streams") -> Series:
    """Return the series of a loop that is late, and then is not."""
    return (
        (of(m.LAG_SECONDS, _E, f"loop={loop}", f"destination={destination}"), "900x{n}", "0.4x{n}"),
        (of(m.PROMISE, _E, f"destination={destination}"), promise, promise),
        (of(m.STATE, _E, f"loop={loop}", state(m.STATE, f"={does}")), IS, IS),
    )


def _from_two_pages(series: Series) -> Series:
    """Return the series as they are where two pages are scraped."""
    pages = ("a:3010", "b:3010")
    return tuple((f'{name[:-1]},instance="{page}"}}', bad, good) for page in pages for name, bad, good in series)


_TALLY = _series_of("tally", "redis", "5x{n}")
_FORWARD = _series_of("forward", "partner", "15x{n}")
_DELIVERED = of(m.EVENTS, _E, "loop=forward")

RULES: Sequence[Rule] = (
    Rule(
        "EngagementMetricsAbsent",
        f"absent({of(m.READ_AT)})",
        120,
        CRITICAL,
        "Nobody answers for the platform's metrics.",
        "Start `engagement-platform serve`, and see that Prometheus reaches it.",
        ((of(m.READ_AT), "_x{n}", GOES_ON),),
    ),
    Rule(
        "EngagementReadingStands",
        f"{age(m.READ_AT)} > 60",
        60,
        CRITICAL,
        "What the metrics tell is old: the process that reads it hangs.",
        "Start `engagement-platform serve` again, and look into its log.",
        ((of(m.READ_AT), STANDS, GOES_ON),),
        after=60,
    ),
    Rule(
        "EngagementUnreadable",
        f"{of(m.UP)} == 0",
        60,
        CRITICAL,
        "How {stream} stands cannot be read.",
        "The page says why. Mostly the platform's database is away: relay and tally go on without it.",
        ((of(m.UP, _E), IS_NOT, IS),),
        _STREAM,
    ),
    Rule(
        "EngagementNobodyStreams",
        f"{of(m.STREAMING)} == 0 and on (stream) {of(m.KEPT_ALIVE)} == 1",
        30,
        CRITICAL,
        "Nobody streams {stream}.",
        "See that Dagster's daemon runs, and that the sensor keep_{stream}_stream_alive is on. Of several shards "
        "engagement_shard_streaming says which nobody has.",
        ((of(m.STREAMING, _E), IS_NOT, IS), (of(m.KEPT_ALIVE, _E), IS, IS)),
        _STREAM,
    ),
    Rule(
        "EngagementLoopStandsStill",
        f"sum by (stream, loop) ({of(m.STATE, _STILL)}) > 0 and on (stream) {of(m.STREAMING)} == 1",
        60,
        CRITICAL,
        "{loop} of {stream} stands still.",
        "`engagement-platform status` says why and what to do.",
        ((of(m.STATE, _E, "loop=tally", state(m.STATE, "=waits")), IS, IS_NOT), _LIVES),
        (*_STREAM, ("loop", "tally")),
    ),
    Rule(
        "EngagementLoopPaused",
        f"sum by (stream, loop) ({of(m.STATE, state(m.STATE, '=paused'))}) > 0",
        3600,
        WARNING,
        "{loop} of {stream} has been paused for an hour.",
        "`engagement-platform resume {loop}`, once its time is over. Events wait in Kafka.",
        ((of(m.STATE, _E, "loop=stage", state(m.STATE, "=paused")), IS, IS_NOT),),
        (*_STREAM, ("loop", "stage")),
    ),
    Rule(
        "EngagementServerUnusable",
        f"{of(m.REACHABLE)} == 0",
        60,
        CRITICAL,
        "{server} does not answer {stream}, or refuses it.",
        "`engagement-platform doctor` says which and what to do.",
        ((of(m.REACHABLE, _E, "server=redis"), IS_NOT, IS),),
        (*_STREAM, ("server", "redis")),
    ),
    Rule(
        "EngagementBreakerOpen",
        f"sum by (stream) ({of(m.BREAKER, state(m.BREAKER, '!=closed'))}) > 0",
        60,
        CRITICAL,
        "The partner of {stream} counts as down.",
        "Events wait in Kafka, nothing is lost. The page shows the last answer, and when the first event is given up.",
        ((of(m.BREAKER, _E, state(m.BREAKER, "=open")), IS, IS_NOT),),
        _STREAM,
    ),
    Rule(
        "EngagementSaturated",
        f"sum by (stream) ({of(m.STATE, state(m.STATE, '=saturated'))}) > 0",
        60,
        CRITICAL,
        "More events of {stream} come than can be handled.",
        "Nothing is lost; it is caught up when fewer come. Else give it more of the processor.",
        ((of(m.STATE, _E, "loop=tally", state(m.STATE, "=saturated")), IS, IS_NOT),),
        _STREAM,
    ),
    Rule(
        "EngagementBehind",
        _late("destination!=partner"),
        60,
        CRITICAL,
        "Events of {stream} reach {destination} later than is promised.",
        "`engagement-platform status` says what the loop waits for.",
        _from_two_pages((*_TALLY, _KEPT)),
        (*_STREAM, ("destination", "redis")),
        quiet=(
            ("a stream that is drained", (*_TALLY, (of(m.KEPT_ALIVE, _E), IS_NOT, IS_NOT))),
            ("a loop that is paused", (*_series_of("tally", "redis", "5x{n}", does="paused"), _KEPT)),
        ),
    ),
    Rule(
        "EngagementNothingDelivered",
        f"{_late('destination=partner')} "
        f"and on (stream) max by (stream) (increase({of(m.EVENTS, 'loop=forward')}[2m])) == 0",
        60,
        CRITICAL,
        "Events of {stream} wait for {destination}, and none has arrived for two minutes.",
        "`engagement-platform status` says what the loop waits for, and the page shows the last answers.",
        _from_two_pages((*_FORWARD, _KEPT, (_DELIVERED, "7x{n}", "7x{n}"))),
        (*_STREAM, ("destination", "partner")),
        quiet=(
            ("one event that is tried again", (*_FORWARD, _KEPT, (_DELIVERED, "0+150x{n}", "{last}+150x{n}"))),
            ("a stream that is drained", (*_FORWARD, (of(m.KEPT_ALIVE, _E), IS_NOT, IS_NOT), (_DELIVERED, IS, IS))),
        ),
    ),
    Rule(
        "EngagementSlow",
        f"histogram_quantile(0.99, sum by (stream, destination, le) (rate({of(m.LATENCY)}[5m]))) > {_PROMISED}",
        300,
        WARNING,
        "Of the events of {stream}, one in a hundred reaches {destination} later than is promised.",
        "Compare the latencies of all destinations: what is late in kafka is late everywhere.",
        _from_two_pages(
            (
                (of(m.LATENCY, _E, "destination=redis", "le=5.0"), "0x{n}", "0+150x{n}"),
                (of(m.LATENCY, _E, "destination=redis", "le=10.0"), "0+150x{n}", "{last}+150x{n}"),
                (of(m.LATENCY, _E, "destination=redis", "le=+Inf"), "0+150x{n}", "{last}+150x{n}"),
                (of(m.PROMISE, _E, "destination=redis"), "5x{n}", "5x{n}"),
            )
        ),
        (*_STREAM, ("destination", "redis")),
    ),
    Rule(
        "EngagementGapStaysOpen",
        f"{age(m.OLDEST_GAP)} > 3600",
        60,
        WARNING,
        "A transaction of the source of {stream} has been open for an hour.",
        "Its events come when it ends. The source's owner finds it in pg_stat_activity, by xact_start.",
        ((of(m.OLDEST_GAP, _E), STANDS, "_x{n}"),),
        _STREAM,
        after=3600,
    ),
    Rule(
        "EngagementDeadLetters",
        f"sum by (stream, source, reason) ({of(m.LETTERS, 'state=~open|redriving')}) > 0",
        60,
        WARNING,
        "{source} of {stream} has dead letters: {reason}.",
        "`engagement-platform dead-letters list` shows them; redrive or discard them.",
        ((of(m.LETTERS, _E, "source=forward", "reason=status_422", "state=open"), "3x{n}", IS_NOT),),
        (*_STREAM, ("source", "forward"), ("reason", "status_422")),
    ),
    Rule(
        "EngagementDaysDue",
        f"{of(m.DUE_DAYS)} > 0",
        6 * 3600,
        WARNING,
        "Days of {stream} have waited for their rebuild for six hours.",
        "`engagement-platform warehouse status` names them; Dagster's sensor rebuild_days_that_are_due starts them.",
        ((of(m.DUE_DAYS, _E), IS, IS_NOT),),
        _STREAM,
    ),
    Rule(
        "EngagementDaysStale",
        f"{of(m.STALE_DAYS)} > 0",
        24 * 3600,
        WARNING,
        "Days of {table} were made by another formula than that of now.",
        "`engagement-platform backfill --stale` rebuilds them.",
        ((of(m.STALE_DAYS, _E, "table=daily"), IS, IS_NOT),),
        (*_STREAM, ("table", "daily")),
    ),
    Rule(
        "EngagementCheckFailed",
        f"{of(m.CHECK_FAILED)} == 1",
        60,
        WARNING,
        "The check {check} of {asset} has failed.",
        "Dagster shows what it found, and the command that helps.",
        ((of(m.CHECK_FAILED, _E, "asset=warehouse/e", "check=unique_ids", "level=error"), IS, IS_NOT),),
        (*_STREAM, ("asset", "warehouse/e"), ("check", "unique_ids"), ("level", "error")),
    ),
    Rule(
        "EngagementRunFailed",
        f"{of(m.FAILED_RUNS)} > 0",
        60,
        WARNING,
        "A run of {job} has failed.",
        "Dagster shows why. The alert ends when a run of the same days succeeds, or after a day.",
        ((of(m.FAILED_RUNS, _E, "job=settle_day"), IS, "_x{n}"),),
        (*_STREAM, ("job", "settle_day")),
    ),
    Rule(
        "EngagementBackfillFailed",
        f"{of(m.FAILED_BACKFILLS)} > 0",
        60,
        WARNING,
        "A backfill has failed.",
        "`engagement-platform backfill --retry ID` rebuilds the days that it has left; then or after a day it is over.",
        ((of(m.FAILED_BACKFILLS), IS, IS_NOT),),
    ),
    Rule(
        "EngagementDagsterUnreadable",
        f"{of(m.DAGSTER_UP)} == 0",
        120,
        CRITICAL,
        "Dagster's storage does not answer.",
        "See that the database of ENGAGEMENT_PLATFORM_DSN runs.",
        ((of(m.DAGSTER_UP), IS_NOT, IS),),
    ),
    Rule(
        "EngagementDaemonSilent",
        f"{of(m.DAEMON_HEALTHY)} == 0",
        60,
        CRITICAL,
        "{daemon} of Dagster's daemon gives no sign of life.",
        "Start dagster-daemon run, or dagster dev. Meanwhile the run that streams goes on, and nobody replaces it.",
        ((of(m.DAEMON_HEALTHY, "daemon=SENSOR"), IS_NOT, IS),),
        (("daemon", "SENSOR"),),
    ),
    Rule(
        "EngagementAutomationOff",
        of(m.AUTOMATION_ON, "automation=~keep_.*_stream_alive|end_dead_runs") + " == 0",
        600,
        WARNING,
        "The sensor {automation} is off.",
        "Turn it on: in Dagster, Automation.",
        ((of(m.AUTOMATION_ON, "automation=end_dead_runs"), IS_NOT, IS),),
        (("automation", "end_dead_runs"),),
    ),
    Rule(
        "EngagementTickFailed",
        f"{of(m.TICK_FAILED)} == 1",
        300,
        WARNING,
        "{automation} fails.",
        "Dagster shows the error: in Automation, its last tick.",
        ((of(m.TICK_FAILED, "automation=end_dead_runs"), IS, IS_NOT),),
        (("automation", "end_dead_runs"),),
    ),
    Rule(
        "EngagementQueueStandsStill",
        f"{age(m.OLDEST_RUN, 'status=queued')} > 1800",
        60,
        WARNING,
        "A run has waited in Dagster's queue for half an hour.",
        "`engagement-platform status` names the runs at work; a backfill lets two go on at a time.",
        ((of(m.OLDEST_RUN, "status=queued"), STANDS, "_x{n}"),),
        (("status", "queued"),),
        after=1800,
    ),
)
"""What calls somebody, the most important first."""
