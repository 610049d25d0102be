"""Dashboard, rules and page are made of the metrics, are up to date, and name nothing that there is not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.console.observability.__main__ import FOLDER, files
from engagement_platform.console.observability.alerts import alert_rules, alert_tests
from engagement_platform.console.observability.dashboard import PANELS, dashboard
from engagement_platform.console.observability.rules import RULES
from engagement_platform.console.observability.yaml import to_yaml
from engagement_platform.domain import metrics
from engagement_platform.domain.metrics import METRICS

ROOT = Path(__file__).parents[3]
NEEDED = {one.sample for one in (metrics.PROMISE, metrics.KEPT_ALIVE, metrics.STREAMING, metrics.STATE, metrics.EVENTS)}
"""What may be the same while something is wrong and afterwards: it says whether the rest counts."""
SAMPLES = {metric.sample: metric for metric in METRICS}
_METRIC = re.compile(r"\b(engagement_[a-z_]+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=~|!=|=)"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


@pytest.mark.parametrize("path", list(files()))
def test_the_file_is_what_make_observability_makes(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == files()[path], "run: make observability"


def test_what_is_written_is_read_back_by_a_reader_of_yaml() -> None:
    for name, value in (("alerts", alert_rules()), ("alerts_test", alert_tests())):
        assert yaml.safe_load((ROOT / FOLDER / f"{name}.yaml").read_text()) == json.loads(json.dumps(value))


scalars = st.integers(-1000, 1000) | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))
documents = st.recursive(
    st.dictionaries(st.from_regex("[a-z_]{1,8}", fullmatch=True), scalars, min_size=1, max_size=3),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.just("of"), inner, min_size=1),
)


@given(documents)
def test_any_document_is_read_back_as_it_was(document: Any) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


def queries() -> Iterator[tuple[str, str]]:
    yield from ((rule.name, rule.expr) for rule in RULES)
    yield from ((panel.title, query.expr) for panel in PANELS for query in panel.queries)


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_asks_for_metrics_and_labels_that_there_are(where: str, query: str) -> None:
    asked = [(name, labels) for name, labels in _METRIC.findall(query) if name not in _state_labels(query)]
    assert asked
    for name, labels in asked:
        metric = SAMPLES[name]
        known = {*metric.labels, *([metric.name] if metric.states else []), *(["le"] if "bucket" in name else [])}
        for label, value in _MATCHER.findall(labels):
            assert label in known, f"{name} has no label {label}"
            if label == metric.name:
                assert set(value.split("|")) <= set(metric.states)
    labels_there = {label for name, _ in asked for label in SAMPLES[name].labels} | {"le"}
    grouped = {label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",")}
    assert grouped <= labels_there


def _state_labels(query: str) -> set[str]:
    """Return the names that stand only as a label: that of a state set is its metric's, too."""
    outside = re.sub(r"\{[^}]*\}", "", query)
    return {name for name in re.findall(r"engagement_[a-z_]+", query) if name not in outside}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_happened_and_what_to_do_and_its_series_are_of_its_metrics(rule: Any) -> None:
    assert rule.summary.endswith(".")
    assert rule.todo.endswith((".", ". "))
    named = {name for name, _ in _METRIC.findall(rule.expr)}
    for series, bad, good in rule.series:
        name = series.partition("{")[0]
        assert name in named
        assert bad != good or name in NEEDED
        given_labels = {label for label, _ in _MATCHER.findall(series)}
        assert {label for label in SAMPLES[name].labels if label in dict(rule.labels)} <= given_labels
    placeholders = set(re.findall(r"\{(\w+)\}", rule.summary + rule.todo))
    assert placeholders <= dict(rule.labels).keys()


def test_each_rule_is_tested_to_fire_and_to_stop() -> None:
    told = json.loads(json.dumps(alert_tests()))["tests"]
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert len({test["name"] for test in told}) == len(told)
    for test in told[: len(RULES)]:
        before, during, after = test["alert_rule_test"]
        assert (before["exp_alerts"], after["exp_alerts"]) == ([], [])
        assert len(during["exp_alerts"]) == 1
    quiet = told[len(RULES) :]
    assert {test["alert_rule_test"][0]["alertname"] for test in quiet} >= {"EngagementBehind"}
    assert all(one["exp_alerts"] == [] for test in quiet for one in test["alert_rule_test"])


def test_panels_lie_beside_each_other_and_not_above() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(PANELS)
