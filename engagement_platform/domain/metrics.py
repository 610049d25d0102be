"""Every metric of the platform, declared once: `/metrics`, dashboard, alert rules and the docs are made of these.

Names follow Prometheus' conventions: the prefix `engagement_`, base units, `_total` for counters. A time is a timestamp
in seconds since 1970: its age is known by subtraction. Each label has few values, and says which. Beside each metric
stands what OpenTelemetry's semantic conventions call the same thing, where they have it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "engagement"


class Kind(StrEnum):
    """What a metric is, as OpenMetrics names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    STATE_SET = "stateset"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """Of its family: samples of a counter end with `_total` besides, and those of an info with `_info`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    otel: str = ""
    """Its name in OpenTelemetry's semantic conventions; empty where they have none."""
    states: tuple[str, ...] = ()
    """Of a state set: what it can be; exactly one is at a time. The label with it is named as the metric."""

    @property
    def sample(self) -> str:
        """The name under which queries find it; of a histogram that of its buckets."""
        ends = {Kind.COUNTER: "_total", Kind.INFO: "_info", Kind.HISTOGRAM: "_bucket"}
        return self.name + ends.get(self.kind, "")


LABELS: Final = {
    "stream": "The name of a stream; empty for what concerns all of them.",
    "loop": "relay, tally, stage or forward.",
    "shard": "The number of one of several runs that divide the partitions, from 0.",
    "destination": "Where a loop brings events: kafka, redis, warehouse or partner.",
    "server": "source, kafka, redis, partner, warehouse or platform_database.",
    "source": "Who made a dead letter: relay, stage or forward; unknown for a message of the topic that is none.",
    "reason": "Why, in one of a dozen words, which are never the text of an error.",
    "state": "What has become of a dead letter: open, redriving, redriven or discarded.",
    "kind": "The kind of a condition, such as loop_stands_still.",
    "severity": "critical or warning.",
    "level": "How bad a failure of a check is: error or warning.",
    "subject": "What a condition is about, where that is one of few names: a loop, a shard, a server, a check, a job.",
    "status": "The status of a run, a backfill or a day, in Dagster's words.",
    "job": "The name of a job.",
    "automation": "The name of a sensor or schedule.",
    "daemon": "A part of Dagster's daemon, such as SENSOR.",
    "asset": "The key of an asset.",
    "check": "The name of an asset check.",
    "table": "A table of the warehouse.",
    "version": "Of the platform.",
    "python": "The version of Python.",
}
"""What the values of each label are. Each has a few dozen at most."""

LOOP_STATES: Final = (
    "starts", "streams", "saturated", "gives_way", "waits", "refused", "paused", "stopped", "stands_by", "idle",
    "silent", "ended", "absent",
)  # fmt: skip
"""What a loop does by its own word; and silent (no heartbeat), ended (as planned), absent (never begun)."""

STILL_STATES: Final = ("waits", "refused", "stopped", "silent", "absent")
"""Those in which no event passes and nobody wanted that."""

PASSING_STATES: Final = ("streams", "saturated", "gives_way")
"""Those in which events pass."""

BREAKER_STATES: Final = ("closed", "open", "probing")

BOUNDS: Final = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0,
    60.0, 120.0, 300.0, 900.0, 3600.0,
)  # fmt: skip
"""The upper bounds of the histogram's buckets, in seconds; every promise is among them."""

_STREAM, _LOOP = ("stream",), ("stream", "loop")
_SENT = "messaging.client.sent.messages (relay), messaging.client.consumed.messages (the others)"

# The reading itself

UP = Metric("engagement_up", Kind.GAUGE, "Whether it can be read how the stream stands: 1, or 0.", _STREAM)
READ_AT = Metric(
    "engagement_read_timestamp_seconds", Kind.GAUGE, "When that was read last: a scrape shows the latest reading.",
    unit="seconds",
)  # fmt: skip
BUILD = Metric(
    "engagement_build", Kind.INFO, "Which version answers.", ("version", "python"), otel="service.version (resource)"
)
CONDITION = Metric(
    "engagement_condition", Kind.GAUGE, "1 for each thing that is wrong; one that is over is gone.",
    ("stream", "kind", "severity", "subject"),
)  # fmt: skip
CONDITIONS = Metric(
    "engagement_conditions", Kind.GAUGE, "How many things are wrong, by how bad they are.", ("severity",)
)

# Who streams

STREAMING = Metric(
    "engagement_streaming",
    Kind.GAUGE,
    "Whether a run holds the lease and lives: 1, or 0; of several shards, each.",
    _STREAM,
)
KEPT_ALIVE = Metric(
    "engagement_kept_alive", Kind.GAUGE, "Whether a run is to stream at any time: 0 for one that is drained.", _STREAM
)
EPOCH = Metric("engagement_lease_epoch", Kind.GAUGE, "The epoch of the lease.", _STREAM)
HAND_OVERS = Metric("engagement_lease_handovers", Kind.COUNTER, "How often a run has taken over from another.", _STREAM)
LEASE_END = Metric(
    "engagement_lease_end_timestamp_seconds", Kind.GAUGE, "When the lease is over.", _STREAM, unit="seconds"
)

# Shards: absent where one run reads all partitions

SHARD_STREAMING = Metric(
    "engagement_shard_streaming", Kind.GAUGE, "Whether a run holds the lease of a shard and lives: 1, or 0.",
    ("stream", "shard"),
)  # fmt: skip
SHARD_PASSING = Metric(
    "engagement_shard_loop_passing", Kind.GAUGE,
    "Whether events can pass a loop of a shard: 0 where it stands still, is paused, or nobody has the shard.",
    ("stream", "shard", "loop"),
)  # fmt: skip
SHARD_LAG = Metric(
    "engagement_shard_lag_events", Kind.GAUGE, "Events that wait for a loop of a shard; absent while nobody knows.",
    ("stream", "shard", "loop"),
)  # fmt: skip
SHARD_AS_OF = Metric(
    "engagement_shard_as_of_timestamp_seconds", Kind.GAUGE,
    "As of when the destination has every event of a shard's partitions.", ("stream", "shard", "loop"), unit="seconds",
)  # fmt: skip

# The loops

STATE = Metric(
    "engagement_loop_state", Kind.STATE_SET, "What a loop of the run that streams does.", _LOOP, states=LOOP_STATES
)
STATE_SINCE = Metric(
    "engagement_loop_state_since_timestamp_seconds", Kind.GAUGE, "Since when it does that.", _LOOP, unit="seconds"
)
HEARTBEAT = Metric(
    "engagement_loop_heartbeat_timestamp_seconds", Kind.GAUGE, "When it gave its last sign of life.", _LOOP,
    unit="seconds",
)  # fmt: skip
EVENTS = Metric(
    f"{PREFIX}_events", Kind.COUNTER, "Events handled: published, counted, loaded or delivered, or given up.", _LOOP,
    otel=_SENT,
)  # fmt: skip
BYTES = Metric("engagement_bytes", Kind.COUNTER, "Bytes of the messages of those events.", _LOOP, unit="bytes")
BATCHES = Metric(
    "engagement_batches", Kind.COUNTER,
    "Transactions of the relay, batches that Redis counted, loads of the warehouse. Forward has requests.", _LOOP,
)  # fmt: skip
DUPLICATES = Metric(
    "engagement_duplicate_messages", Kind.COUNTER,
    "Messages that a loop left out, as their publisher, another one than the relay, had published them before.", _LOOP,
)  # fmt: skip
LAG = Metric("engagement_lag_events", Kind.GAUGE, "Events that wait for the loop; absent while nobody knows.", _LOOP)
LAG_SECONDS = Metric(
    "engagement_lag_seconds", Kind.GAUGE,
    "How old the events are, at most, that the destination lacks; near 0 while nothing waits.",
    ("stream", "loop", "destination"), unit="seconds",
)  # fmt: skip
AS_OF = Metric(
    "engagement_as_of_timestamp_seconds", Kind.GAUGE,
    "As of when the destination has every event: it advances without events, too.",
    ("stream", "loop", "destination"), unit="seconds",
)  # fmt: skip
LATENCY = Metric(
    "engagement_event_latency_seconds", Kind.HISTOGRAM,
    "From the commit of an event to its arrival, an upper bound. A latency up to 5 % below a bound may count above it.",
    ("stream", "destination"), unit="seconds",
)  # fmt: skip
PROMISE = Metric(
    "engagement_promised_latency_seconds", Kind.GAUGE, "How soon an event is promised to arrive.",
    ("stream", "destination"), unit="seconds",
)  # fmt: skip
OFFERED = Metric(
    "engagement_offered_events_per_second", Kind.GAUGE,
    "What comes in: what is done, and by how much more waits.", _LOOP,
)  # fmt: skip
SHARE = Metric(
    "engagement_time_share_ratio", Kind.GAUGE, "The part of its time that a loop may use; below 1 it gives way.", _LOOP
)
REACHABLE = Metric(
    "engagement_server_reachable", Kind.GAUGE,
    "Whether the loops that use a server can work with it: 1, or 0 where it does not answer or refuses. Absent while "
    "no loop says so.", ("stream", "server"),
)  # fmt: skip

# The relay

OPEN_IDS = Metric("engagement_open_ids", Kind.GAUGE, "Ids that the relay has passed and that may still come.", _STREAM)
OPEN_GAPS = Metric("engagement_open_gaps", Kind.GAUGE, "Ranges of such ids.", _STREAM)
OLDEST_GAP = Metric(
    "engagement_oldest_gap_timestamp_seconds", Kind.GAUGE,
    "When the relay passed the oldest of them, to the minute; absent without any.", _STREAM, unit="seconds",
)  # fmt: skip
CHECKPOINT_AT = Metric(
    "engagement_checkpoint_timestamp_seconds", Kind.GAUGE,
    "When the relay's checkpoint last moved: without events it stands still.", _STREAM, unit="seconds",
)  # fmt: skip
CHECKPOINT_ID = Metric("engagement_checkpoint_id", Kind.GAUGE, "The highest id that the checkpoint covers.", _STREAM)

# The tally

REFUSED_BATCHES = Metric(
    "engagement_refused_batches", Kind.COUNTER, "Batches that Redis did not take, as its offsets were others.", _STREAM
)
UNCOUNTED = Metric(
    "engagement_uncounted_events", Kind.COUNTER,
    "Events that Redis did not count: late, future (too far ahead), unreadable.", ("stream", "reason"),
)  # fmt: skip

# The partner

REQUESTS = Metric(
    "engagement_partner_requests", Kind.COUNTER, "Requests to the partner.", _STREAM,
    otel="http.client.request.duration (its count)",
)  # fmt: skip
RETRIES = Metric(
    "engagement_partner_retries", Kind.COUNTER, "Those that were made again.", _STREAM, otel="http.request.resend_count"
)
FAILED_REQUESTS = Metric(
    "engagement_partner_failed_requests", Kind.COUNTER, "Those that failed, so that they are to be made again.", _STREAM
)
DECLINED_REQUESTS = Metric(
    "engagement_partner_declined_requests", Kind.COUNTER, "Those that the partner answered with a refusal.", _STREAM
)
HALVED = Metric(
    "engagement_partner_halved_requests", Kind.COUNTER, "Arrays that were halved to find the event meant.", _STREAM
)
UNRECORDED = Metric(
    "engagement_partner_unrecorded_requests", Kind.COUNTER, "Requests left out of the record of deliveries.", _STREAM
)
IN_FLIGHT = Metric(
    "engagement_partner_active_requests", Kind.GAUGE, "Requests under way.", _STREAM, otel="http.client.active_requests"
)
BREAKER = Metric(
    "engagement_partner_breaker", Kind.STATE_SET, "What the circuit breaker lets through.", _STREAM,
    states=BREAKER_STATES,
)  # fmt: skip

# Dead letters

LETTERS = Metric(
    "engagement_dead_letters", Kind.GAUGE, "Dead letters that are kept.", ("stream", "source", "reason", "state")
)
LETTERS_WRITTEN = Metric(
    "engagement_dead_letters_written", Kind.COUNTER, "Dead letters that a loop has made.", ("stream", "source")
)

# The warehouse

LOADS = Metric("engagement_warehouse_loads", Kind.COUNTER, "Loads, of BigQuery load jobs.", _STREAM)
LOADED_ROWS = Metric(
    "engagement_warehouse_loaded_rows", Kind.COUNTER, "Rows of those, without what a rebuilt day had already.", _STREAM
)
OPEN_LOADS = Metric("engagement_warehouse_open_loads", Kind.GAUGE, "Loads that were entered and are not done.", _STREAM)
LAST_LOAD = Metric(
    "engagement_warehouse_last_load_timestamp_seconds", Kind.GAUGE, "When the last load was done.", _STREAM,
    unit="seconds",
)  # fmt: skip
ROWS = Metric("engagement_warehouse_rows", Kind.GAUGE, "Rows of the table of events, about once a minute.", _STREAM)
FILES = Metric("engagement_warehouse_files", Kind.GAUGE, "Its files, where it has such: of Delta Lake.", _STREAM)
SIZE = Metric("engagement_warehouse_size_bytes", Kind.GAUGE, "Its size.", _STREAM, unit="bytes")
DUE_DAYS = Metric("engagement_warehouse_due_day_partitions", Kind.GAUGE, "Days that wait for a rebuild.", _STREAM)
DAYS = Metric(
    "engagement_warehouse_day_partitions", Kind.GAUGE, "Days of a table, by what Dagster has of these partitions.",
    ("stream", "table", "status"),
)  # fmt: skip
STALE_DAYS = Metric(
    "engagement_warehouse_stale_day_partitions", Kind.GAUGE, "Days that another formula than that of now has made.",
    ("stream", "table"),
)  # fmt: skip
CHECK_FAILED_DAYS = Metric(
    "engagement_warehouse_check_failed_day_partitions", Kind.GAUGE, "Days of which a check failed when it last looked.",
    ("stream", "table"),
)  # fmt: skip

# Dagster

DAGSTER_UP = Metric("engagement_dagster_up", Kind.GAUGE, "Whether Dagster's storage answers: 1, or 0.")
RUNS = Metric("engagement_dagster_runs", Kind.GAUGE, "Runs that have not ended.", ("status",))
OLDEST_RUN = Metric(
    "engagement_dagster_oldest_run_timestamp_seconds", Kind.GAUGE, "When the oldest of them came; absent without any.",
    ("status",), unit="seconds",
)  # fmt: skip
FAILED_RUNS = Metric(
    "engagement_dagster_failed_runs", Kind.GAUGE,
    "Runs that failed within a day, and that none of the same job and days has made good; none that Dagster replaces.",
    ("stream", "job"),
)  # fmt: skip
TICK_AT = Metric(
    "engagement_dagster_tick_timestamp_seconds", Kind.GAUGE, "When a sensor or schedule last ticked.", ("automation",),
    unit="seconds",
)  # fmt: skip
TICK_FAILED = Metric("engagement_dagster_tick_failed", Kind.GAUGE, "Whether that tick failed.", ("automation",))
AUTOMATION_ON = Metric(
    "engagement_dagster_automation_on", Kind.GAUGE, "Whether a sensor or schedule is on: 1, or 0.", ("automation",)
)
DAEMON_AT = Metric(
    "engagement_dagster_daemon_heartbeat_timestamp_seconds", Kind.GAUGE, "When a daemon gave its last sign of life.",
    ("daemon",), unit="seconds",
)  # fmt: skip
DAEMON_HEALTHY = Metric(
    "engagement_dagster_daemon_healthy", Kind.GAUGE, "Whether that is recent, as Dagster judges it.", ("daemon",)
)
CHECK_FAILED = Metric(
    "engagement_dagster_check_failed", Kind.GAUGE, "Whether an asset check failed when it was last evaluated.",
    ("stream", "asset", "check", "level"),
)  # fmt: skip
BACKFILLS = Metric("engagement_dagster_backfills", Kind.GAUGE, "The latest backfills.", ("status",))
FAILED_BACKFILLS = Metric(
    "engagement_dagster_failed_backfills", Kind.GAUGE, "Backfills that failed within a day, or runs of them."
)

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of the page."""
BY_NAME: Final = {metric.name: metric for metric in METRICS}
