"""Figures that are declared once, travel as JSON, and are read back by any version."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import progress
from engagement_platform.domain.latency import Histogram
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import (
    BREAKER,
    CHOICES,
    COUNTERS,
    EVENTS,
    GAUGES,
    LAG,
    Choice,
    Counter,
    Figures,
    Gauge,
    from_object,
    to_object,
    total,
)

FIGURES: tuple[Counter | Gauge | Choice, ...] = (*COUNTERS, *GAUGES, *CHOICES)


def latencies(seconds: list[float]) -> Any:
    histogram = Histogram()
    for latency in seconds:
        histogram.add(latency)
    return histogram.present()


timed = st.lists(st.floats(0, 100), max_size=5).map(latencies)
states = st.builds(LoopState, st.sampled_from(Activity), st.floats(0, 4e9), st.text(), st.text(), st.text())
figures = st.builds(
    Figures,
    st.dictionaries(st.sampled_from(COUNTERS), st.integers(1, 1 << 60)),
    st.dictionaries(st.sampled_from(GAUGES), st.integers(0, 1 << 50)),
    st.dictionaries(st.sampled_from(CHOICES), st.sampled_from(BREAKER.words)),
    timed,
    timed,
    st.none() | states,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([*(figure.name for figure in FIGURES), "state", "latency", "recent_latency", "of later"])


@given(figures)
def test_they_come_back_as_they_were_kept(told: Figures) -> None:
    assert from_object(json.loads(json.dumps(to_object(told)))) == told


@given(figures, st.dictionaries(names, json_values))
def test_what_another_version_tells_breaks_no_reader_and_the_rest_is_read(
    told: Figures, theirs: dict[str, Any]
) -> None:
    kept = json.loads(json.dumps(to_object(told)))
    read = from_object(kept | theirs)
    assert {figure: read.count(figure) for figure in COUNTERS if figure.name not in theirs} == {
        figure: told.count(figure) for figure in COUNTERS if figure.name not in theirs
    }
    from_object(theirs)
    missing = from_object({name: value for name, value in kept.items() if name not in theirs})
    assert all(missing.count(figure) == 0 for figure in COUNTERS if figure.name in theirs)
    assert LAG.name not in theirs or missing.gauge(LAG) is None


@given(st.lists(figures, max_size=5))
def test_over_hand_overs_counters_and_latencies_are_added_up_and_the_last_run_says_how_it_stands(
    runs: list[Figures],
) -> None:
    together = total(runs)
    assert all(together.count(figure) == sum(run.count(figure) for run in runs) for figure in COUNTERS)
    assert together.latency.count == sum(run.latency.count for run in runs)
    if runs:
        assert (together.gauges, together.state) == (runs[-1].gauges, runs[-1].state)


def test_each_figure_has_a_name_of_its_own_a_meaning_and_a_unit() -> None:
    declared = [*FIGURES, progress.LATENCY, progress.RECENT_LATENCY]
    assert len({figure.name for figure in declared}) == len(declared)
    assert all(figure.meaning.endswith(".") for figure in declared)
    assert all(figure.unit for figure in (*COUNTERS, *GAUGES, progress.LATENCY))
    kinds = Counter | Gauge | Choice
    named = {value for name, value in vars(progress).items() if name.isupper() and isinstance(value, kinds)}
    assert named == set(FIGURES), "all are in the lists"
    assert EVENTS in COUNTERS


def test_the_page_has_every_figure_with_its_unit_and_meaning() -> None:
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()
    for figure in (*COUNTERS, *GAUGES, progress.LATENCY, progress.RECENT_LATENCY):
        kind = "histogram" if isinstance(figure, progress.Distribution) else type(figure).__name__.lower()
        assert f"| `{figure.name}` | {kind} | {figure.unit} | {figure.meaning} |" in page
