"""The dashboard for Grafana: whether all is well first, then what passes, how soon it arrives, and what waits where."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engagement_platform.console.observability.rules import of
from engagement_platform.domain import metrics as m
from engagement_platform.domain.metrics import Metric

TITLE = "Engagement platform"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_STREAM = "stream=~$stream"
_WIDTH = 24
_RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, and how its series are named."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, or the heading of those that follow it."""

    title: str
    queries: Sequence[Query] = ()
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7
    help: str = ""
    good_at_zero: bool = False
    """Whether any other value than 0 is bad; of those that are 1 or 0, see `good_at_one`."""
    good_at_one: bool = False


def rate(metric: Metric, *by: str) -> str:
    """Return the query for how much a counter grows in a second."""
    return f"sum by ({', '.join(by)}) (rate({of(metric, _STREAM)}[{_RATE}]))"


def _gauge(metric: Metric, *matchers: str) -> str:
    return of(metric, _STREAM, *matchers)


def _quantile(share: float) -> Query:
    buckets = f"sum by (destination, le) (rate({of(m.LATENCY, _STREAM)}[{_RATE}]))"
    return Query(f"histogram_quantile({share}, {buckets})", f"{{{{destination}}}} p{share * 100:g}")


PANELS: Sequence[Panel] = (
    Panel("Whether all is well", kind="row"),
    Panel(
        "Critical", [Query(of(m.CONDITIONS, "severity=critical"), "critical")], "stat", width=4, height=4,
        good_at_zero=True, help=m.CONDITIONS.help,
    ),
    Panel(
        "Warnings", [Query(of(m.CONDITIONS, "severity=warning"), "warning")], "stat", width=4, height=4,
        good_at_zero=True, help=m.CONDITIONS.help,
    ),
    Panel(
        "Streams", [Query(_gauge(m.STREAMING), "{{stream}}")], "stat", width=4, height=4, good_at_one=True,
        help=m.STREAMING.help,
    ),
    Panel(
        "Reachable", [Query(_gauge(m.REACHABLE), "{{server}}")], "stat", width=12, height=4, good_at_one=True,
        help=m.REACHABLE.help,
    ),
    Panel(
        "What is wrong", [Query(of(m.CONDITION), "{{severity}}: {{kind}} {{stream}} {{subject}}")], "timeseries",
        width=12, help="Nothing where nothing is.",
    ),
    Panel(
        "States of the loops", [Query(f"{_gauge(m.STATE)} == 1", f"{{{{loop}}}} {{{{{m.STATE.name}}}}}")],
        width=12, help=m.STATE.help,
    ),
    Panel("What passes", kind="row"),
    Panel("Events a second", [Query(rate(m.EVENTS, "loop"), "{{loop}}")], width=8, help=m.EVENTS.help),
    Panel("Bytes a second", [Query(rate(m.BYTES, "loop"), "{{loop}}")], unit="Bps", width=8, help=m.BYTES.help),
    Panel("Batches a second", [Query(rate(m.BATCHES, "loop"), "{{loop}}")], width=8, help=m.BATCHES.help),
    Panel("How soon events arrive", kind="row"),
    Panel(
        "Latency, the 50th and 99th percentile", [_quantile(0.5), _quantile(0.99)], unit="s", width=12, height=8,
        help=m.LATENCY.help,
    ),
    Panel(
        "Behind, and the promise",
        [Query(_gauge(m.LAG_SECONDS), "{{destination}}"), Query(_gauge(m.PROMISE), "promise for {{destination}}")],
        unit="s", width=12, height=8, help=m.LAG_SECONDS.help,
    ),
    Panel("Events that wait", [Query(_gauge(m.LAG), "{{loop}}")], width=8, help=m.LAG.help),
    Panel(
        "Open gaps", [Query(_gauge(m.OPEN_GAPS), "ranges"), Query(_gauge(m.OPEN_IDS), "ids")], width=8,
        help=m.OPEN_IDS.help,
    ),
    Panel(
        "Age of the oldest gap and of the checkpoint",
        [
            Query(f"time() - {_gauge(m.OLDEST_GAP)}", "oldest gap"),
            Query(f"time() - {_gauge(m.CHECKPOINT_AT)}", "checkpoint"),
        ],
        unit="s", width=8, help=m.CHECKPOINT_AT.help,
    ),
    Panel("Partner and dead letters", kind="row"),
    Panel(
        "Requests a second",
        [
            Query(rate(m.REQUESTS, "stream"), "requests"),
            Query(rate(m.RETRIES, "stream"), "made again"),
            Query(rate(m.FAILED_REQUESTS, "stream"), "failed"),
            Query(rate(m.DECLINED_REQUESTS, "stream"), "declined"),
            Query(rate(m.HALVED, "stream"), "halved"),
        ],
        width=8, help=m.REQUESTS.help,
    ),
    Panel(
        "Circuit breaker and requests under way",
        [
            Query(f"{_gauge(m.BREAKER)} == 1", f"{{{{{m.BREAKER.name}}}}}"),
            Query(_gauge(m.IN_FLIGHT), "under way"),
        ],
        width=8, help=m.BREAKER.help,
    ),
    Panel(
        "Dead letters",
        [Query(_gauge(m.LETTERS, "state=~open|redriving"), "{{source}}: {{reason}}")], width=8, help=m.LETTERS.help,
    ),
    Panel("Redis and who streams", kind="row"),
    Panel(
        "Not counted in Redis, a second",
        [Query(rate(m.UNCOUNTED, "reason"), "{{reason}}"), Query(rate(m.REFUSED_BATCHES, "stream"), "refused batches")],
        width=8, help=m.UNCOUNTED.help,
    ),
    Panel(
        "Share of its time that a loop may use", [Query(_gauge(m.SHARE), "{{loop}}")], unit="percentunit", width=8,
        help=m.SHARE.help,
    ),
    Panel("Epoch of the lease", [Query(_gauge(m.EPOCH), "{{stream}}")], width=8, help=m.EPOCH.help),
    Panel("Warehouse", kind="row"),
    Panel("Rows", [Query(_gauge(m.ROWS), "{{stream}}")], width=6, help=m.ROWS.help),
    Panel(
        "Files and size", [Query(_gauge(m.FILES), "files"), Query(_gauge(m.SIZE), "bytes")], width=6, help=m.FILES.help
    ),
    Panel(
        "Loads and rows a second",
        [Query(rate(m.LOADS, "stream"), "loads"), Query(rate(m.LOADED_ROWS, "stream"), "rows")],
        width=6, help=m.LOADS.help,
    ),
    Panel(
        "Since the last load",
        [Query(f"time() - {_gauge(m.LAST_LOAD)}", "{{stream}}"), Query(_gauge(m.OPEN_LOADS), "open loads")],
        unit="s", width=6, help=m.LAST_LOAD.help,
    ),
    Panel(
        "Days by what Dagster has", [Query(_gauge(m.DAYS, "status!=materialized"), "{{table}} {{status}}")], width=12,
        help=m.DAYS.help,
    ),
    Panel(
        "Days to look at",
        [
            Query(_gauge(m.STALE_DAYS), "{{table}} stale"),
            Query(_gauge(m.CHECK_FAILED_DAYS), "{{table}} check failed"),
            Query(_gauge(m.DUE_DAYS), "due"),
        ],
        width=12, help=m.STALE_DAYS.help,
    ),
    Panel("Dagster", kind="row"),
    Panel("Runs that have not ended", [Query(of(m.RUNS), "{{status}}")], width=8, help=m.RUNS.help),
    Panel(
        "Age of the oldest", [Query(f"time() - {of(m.OLDEST_RUN)}", "{{status}}")], unit="s", width=8,
        help=m.OLDEST_RUN.help,
    ),
    Panel(
        "Failed within a day",
        [
            Query(f"sum by (job) ({_gauge(m.FAILED_RUNS)})", "{{job}}"),
            Query(of(m.FAILED_BACKFILLS), "backfills"),
            Query(f"sum by (check) ({_gauge(m.CHECK_FAILED)})", "check {{check}}"),
        ],
        width=8, help=m.FAILED_RUNS.help,
    ),
    Panel("Since the last tick", [Query(f"time() - {of(m.TICK_AT)}", "{{automation}}")], unit="s", width=12,
          help=m.TICK_AT.help),
    Panel("Since the daemon's last sign of life", [Query(f"time() - {of(m.DAEMON_AT)}", "{{daemon}}")], unit="s",
          width=12, help=m.DAEMON_AT.help),
)  # fmt: skip


def dashboard(panels: Sequence[Panel] = PANELS) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "title": TITLE,
        "uid": "engagement-platform",
        "tags": ["engagement"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": [_data_source(), _streams()]},
        "panels": list(_placed(panels)),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _streams() -> dict[str, Any]:
    return {
        "name": "stream",
        "label": "Stream",
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({of(m.UP)}, stream)",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """Yield panels from the left to the right, each row as high as its highest."""
    left = top = height = 0
    for number, panel in enumerate(panels, 1):
        width = _WIDTH if panel.kind == "row" else panel.width
        if left + width > _WIDTH:
            left, top, height = 0, top + height, 0
        own = 1 if panel.kind == "row" else panel.height
        place = {"x": left, "y": top, "w": width, "h": own}
        yield {"id": number, "title": panel.title, "type": panel.kind, "gridPos": place} | _content(panel)
        left, height = left + width, max(height, own)


def _content(panel: Panel) -> dict[str, Any]:
    if panel.kind == "row":
        return {"collapsed": False, "panels": []}
    targets = [
        {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}
        for at, query in enumerate(panel.queries)
    ]
    return {
        "description": panel.help,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit} | _thresholds(panel), "overrides": []},
        "options": _options(panel),
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    if not (panel.good_at_zero or panel.good_at_one):
        return {}
    low, high = ("green", "red") if panel.good_at_zero else ("red", "green")
    words = {"0": {"text": "no"}, "1": {"text": "yes"}} if panel.good_at_one else {}
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": [{"color": low, "value": None}, {"color": high, "value": 1}]},
        "mappings": [{"type": "value", "options": words}] if words else [],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"colorMode": "background", "textMode": "value_and_name", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
