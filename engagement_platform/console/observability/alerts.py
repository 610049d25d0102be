"""The files for Prometheus: the alert rules, and a unit test of each in the form of promtool."""

import re
from collections.abc import Mapping, Sequence

from engagement_platform.console.observability.rules import GUIDE, RULES, Rule, Series
from engagement_platform.console.observability.yaml import Value

INTERVAL = 15
"""Seconds between two samples, and between two evaluations of the rules."""
_MORE_SECONDS = 420
"""For how long something stays wrong in a test beyond what the rule waits for: longer than any range in a rule."""

_LABEL = re.compile(r"\{(\w+)\}")


def alert_rules(rules: Sequence[Rule] = RULES) -> Value:
    """Return the file of rules."""
    return {"groups": [{"name": "engagement", "rules": [_rule(rule) for rule in rules]}]}


def _rule(rule: Rule) -> Mapping[str, Value]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": _duration(rule.seconds),
        "labels": {"severity": rule.severity.value},
        "annotations": {"summary": _template(rule.summary), "description": _template(rule.todo), "runbook": GUIDE},
    }


def alert_tests(rules: Sequence[Rule] = RULES) -> Value:
    """Return the file of unit tests: of each rule one in which it fires and stops, and those in which it must not."""
    quiet = [_quiet(rule, words, series) for rule in rules for words, series in rule.quiet]
    return {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": _duration(INTERVAL),
        "tests": [*map(_test, rules), *quiet],
    }


def _test(rule: Rule) -> Mapping[str, Value]:
    wrong, right = _samples(rule.after + rule.seconds + _MORE_SECONDS), _samples(_MORE_SECONDS)
    end = wrong * INTERVAL
    return {
        "name": f"{rule.name} fires, and stops",
        "interval": _duration(INTERVAL),
        "input_series": [
            {"series": series, "values": f"{_filled(bad, wrong, 0)} {_filled(good, right, wrong)}"}
            for series, bad, good in rule.series
        ],
        "alert_rule_test": [
            _expect(rule, _first(rule), fires=False),
            _expect(rule, end - 2 * INTERVAL, fires=True),
            _expect(rule, end + right * INTERVAL - INTERVAL, fires=False),
        ],
    }


def _quiet(rule: Rule, words: str, series: Series) -> Mapping[str, Value]:
    number = _samples(rule.after + rule.seconds + _MORE_SECONDS)
    return {
        "name": f"{rule.name} does not fire for {words}",
        "interval": _duration(INTERVAL),
        "input_series": [{"series": name, "values": _filled(bad, number, 0)} for name, bad, _ in series],
        "alert_rule_test": [_expect(rule, (number - 2) * INTERVAL, fires=False)],
    }


def _first(rule: Rule) -> int:
    """Return a second at which the rule cannot fire yet: what it waits for has not passed."""
    return max(0, rule.after + rule.seconds - INTERVAL)


def _expect(rule: Rule, second: int, *, fires: bool) -> Mapping[str, Value]:
    labels = dict(rule.labels)
    alert: Mapping[str, Value] = {
        "exp_labels": {**labels, "severity": rule.severity.value},
        "exp_annotations": {
            "summary": _said(rule.summary, labels),
            "description": _said(rule.todo, labels),
            "runbook": GUIDE,
        },
    }
    return {"eval_time": _duration(second), "alertname": rule.name, "exp_alerts": [alert] if fires else []}


def _samples(seconds: int) -> int:
    return -(-seconds // INTERVAL)


def _filled(values: str, number: int, first: int) -> str:
    """Return the values of so many samples; promtool's `axn` has one more than n. `first` is the first one's number."""
    return values.format(n=number - 1, at=first * INTERVAL, last=150 * (first - 1))


def _template(text: str) -> str:
    return _LABEL.sub(r"{{ $labels.\1 }}", text)


def _said(text: str, labels: Mapping[str, str]) -> str:
    return _LABEL.sub(lambda label: labels[label[1]], text)


def _duration(seconds: int) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
