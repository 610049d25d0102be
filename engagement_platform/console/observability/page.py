"""The page of the documentation that lists the metrics, and says how to take dashboard and rules."""

from importlib import resources

from engagement_platform.console.observability.rules import RULES, Rule
from engagement_platform.domain.metrics import BOUNDS, LABELS, METRICS, Metric

_BEFORE = resources.files(__package__).joinpath("page.md")


def metrics_page() -> str:
    """Return the page."""
    return "\n".join([_BEFORE.read_text(encoding="utf-8"), *_metrics(), *_labels(), *_rules()])


def _metrics() -> list[str]:
    bounds = ", ".join(f"{bound:g}" for bound in BOUNDS)
    return [
        "## All metrics",
        "",
        "| metric | type | unit | labels | what it is | OpenTelemetry |",
        "|---|---|---|---|---|---|",
        *map(_row, METRICS),
        "",
        "The last column has the name in OpenTelemetry's semantic conventions, where they have one.",
        f"The histogram's bounds are, in seconds: {bounds}.",
        "A state set has a sample for each state, of which one is 1.",
        "",
    ]


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    help_ = metric.help + (f" One of {', '.join(metric.states)}." if metric.states else "")
    name = metric.sample.removesuffix("_bucket")
    return f"| `{name}` | {metric.kind.value} | {metric.unit} | {labels} | {help_} | {metric.otel or 'none'} |"


def _labels() -> list[str]:
    return [
        "## Labels",
        "",
        "| label | its values |",
        "|---|---|",
        *(f"| `{n}` | {m} |" for n, m in LABELS.items()),
        "",
    ]


def _rules() -> list[str]:
    return [
        "## Alert rules",
        "",
        "| alert | severity | after | what it says | what to do |",
        "|---|---|---|---|---|",
        *map(_rule, RULES),
        "",
    ]


def _rule(rule: Rule) -> str:
    cells = (f"`{rule.name}`", rule.severity.value, f"{rule.seconds} s", _shown(rule.summary), _shown(rule.todo))
    return f"| {' | '.join(cells)} |"


def _shown(text: str) -> str:
    return text.replace("{", "*").replace("}", "*")
