"""What an alert looks like to its receiver: as a webhook, and as Slack's incoming webhooks take it.

The webhook is an event by the Standard Webhooks specification: type, timestamp, data.
"""

from datetime import UTC, datetime
from typing import Any

from engagement_platform.domain.alerts import Alert
from engagement_platform.domain.conditions import Condition, Severity
from engagement_platform.domain.loop_state import clock

_MOST_CHARACTERS = 800
"""Of one line: with what stands for & and < a block of Slack is below the 3,000 that it takes, but for odd texts."""


TEST_SAYS = "This is a test: alerts of engagement-platform arrive here."


class Links:
    """Where people can see more: the addresses of the page and of Dagster; empty where they have none."""

    def __init__(self, page: str = "", dagster: str = "") -> None:
        self.page, self._dagster = page.rstrip("/"), dagster.rstrip("/")

    def of(self, condition: Condition) -> str:
        """Return the address that shows more of a condition; empty where there is none."""
        if condition.page.startswith("/runs/"):
            return f"{self._dagster}{condition.page}" if self._dagster else self.page
        return f"{self.page}{condition.page or '/'}" if self.page else self._dagster


def as_webhook(alert: Alert, links: Links) -> dict[str, Any]:
    """Return the body of a webhook."""
    condition = alert.condition
    return {
        "type": "engagement.alert.over" if alert.is_over else "engagement.alert.began",
        "timestamp": _rfc3339(alert.at),
        "data": {
            "alert": alert.alert,
            "kind": condition.kind.value,
            "severity": condition.severity.value,
            "stream": condition.stream,
            "subject": condition.subject,
            "loops": list(condition.loops),
            "since": _rfc3339(condition.since),
            "over_at": _rfc3339(alert.at) if alert.is_over else None,
            "what": condition.what,
            "means": condition.means,
            "todo": condition.todo,
            "link": links.of(condition),
        },
    }


def message_of_a_test(form: str, links: Links, at: float) -> dict[str, Any]:
    """Return the body of a test, in a form; `at` in seconds since 1970."""
    if form == "slack":
        return {"text": TEST_SAYS}
    return {"type": "engagement.alert.test", "timestamp": _rfc3339(at), "data": {"what": TEST_SAYS, "link": links.page}}


def as_slack(alert: Alert, links: Links) -> dict[str, Any]:
    """Return the body of Slack's incoming webhooks: a text for notifications, and blocks for the channel."""
    first, *others = _lines(alert)
    link = links.of(alert.condition)
    text = "\n".join([f"*{_escaped(first)}*", *map(_escaped, others), *([f"<{link}|Show>"] if link else [])])
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    return {"text": _escaped(first), "blocks": [section]}


def _lines(alert: Alert) -> list[str]:
    condition = alert.condition
    stream = f"{condition.stream}: " if condition.stream else ""
    if alert.is_over:
        lasted = _span(alert.at - condition.since)
        return [f"\N{WHITE HEAVY CHECK MARK} Over after {lasted}: {stream}{condition.what}"]
    sign = "\N{LARGE RED CIRCLE}" if condition.severity is Severity.CRITICAL else "\N{LARGE YELLOW CIRCLE}"
    return [
        f"{sign} {condition.severity.capitalize()}: {stream}{condition.what}",
        f"Since {clock(condition.since)}. {condition.means}".strip(),
        *([f"What to do: {condition.todo}"] if condition.todo else []),
    ]


def _escaped(text: str) -> str:
    """Return the beginning of a text, in which Slack sees no links and mentions of its own."""
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _span(seconds: float) -> str:
    """Return a span as people say it."""
    minutes = round(max(0.0, seconds) / 60)
    if minutes < 1:
        return f"{max(0.0, seconds):.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours} h {minutes} min"


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
