"""The report: what it says of a run, and that a page takes nothing from outside."""

import json
import re
from pathlib import Path

from engagement_platform_tests.chaos.fault import SINKS, Fault
from engagement_platform_tests.chaos.report import Report, as_text, page, write
from engagement_platform_tests.chaos.results import BEFORE, Row, rows
from engagement_platform_tests.chaos.run import Outcome
from engagement_platform_tests.chaos.standstill import Marker, Occurrence
from engagement_platform_tests.chaos.verdict import Verdict, ViewsVerdict

FAULTS = [
    Fault("kill <it>", "what", "heals", lambda system, luck: None, 10.0, {"redis": 1.0}),
    Fault("other", "what", "heals", lambda system, luck: None, 10.0),
]
RIGHT, WRONG = ViewsVerdict(9, 0, 0), ViewsVerdict(9, 0, 3)


def outcome() -> Outcome:
    """Two faults of one kind: in the second one Redis stands for 1.5 s, event 6 is lost, and 3 are counted twice."""
    markers = [Marker(number, 10.0 * number) for number in range(1, 11)]
    seen = {marker.event_id: marker.committed + 0.2 for marker in markers}
    return Outcome(
        [Occurrence("kill <it>", 25.0, 25.0, 25.0, 35.0), Occurrence("kill <it>", 55.0, 55.0, 55.0, 75.0)],
        [RIGHT, WRONG, RIGHT],
        markers=markers,
        seen={sink: seen | ({6: 61.5} if sink == "redis" else {}) for sink in SINKS},
        verdicts={"kafka": Verdict(), "warehouse": Verdict(lost=frozenset({6})), "partner": Verdict(repeats=4)},
        committed=10,
    )


def report(those: list[Row], *broken: str) -> Report:
    return Report(
        "chaos",
        "make chaos",
        7,
        "librdkafka",
        "kafka-python",
        "2 cores",
        "1",
        "<noisy>",
        "now",
        3.0,
        10,
        4,
        those,
        {},
        broken,
        (),
        (),
    )


def test_what_is_wrong_stands_with_the_fault_in_which_it_happened() -> None:
    none, killed = rows(outcome(), FAULTS)
    assert (none.name, none.broken, none.missed) == (BEFORE, False, False)
    assert (killed.times, killed.lost, killed.doubled, killed.disordered) == (2, 1, 3, 0)
    still = killed.still["redis"]
    assert (round(still.middle, 2), round(still.worst, 2), still.budget, still.verdict) == (0.85, 1.5, 1.0, "missed")
    assert killed.still["kafka"].verdict == "ok"


def test_the_verdict_names_what_was_missed() -> None:
    said = report(rows(outcome(), FAULTS)).verdict
    assert "4 events lost, doubled or disordered" in said
    assert "budgets missed: kill <it>" in said
    good = report(rows(outcome(), FAULTS)[:1])
    assert good.passed
    assert "nothing lost" in good.verdict
    assert not report(rows(outcome(), FAULTS)[:1], "it could not be done").passed


def test_the_page_takes_nothing_from_outside_and_the_json_says_the_same(tmp_path: Path) -> None:
    made = report(rows(outcome(), FAULTS))
    text = page(made)
    assert not re.search(r"""(src|href)=|url\(|@import|<script""", text)
    assert "kill &lt;it&gt;" in text
    assert "<it>" not in text
    assert "&lt;noisy&gt;" in text
    assert text.count("<rect") == len(SINKS) + 2 * len(SINKS)
    as_json, as_page = write(made, tmp_path)
    told = json.loads(as_json.read_text())
    assert (told["seed"], told["client"], told["passed"]) == (7, "librdkafka", False)
    assert told["faults"][1]["standstill"]["redis"]["verdict"] == "missed"
    assert as_page.read_text() == text
    assert "kill <it>" in as_text(made)
