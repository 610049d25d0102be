"""The glossary has each term once, in order, and none that nobody uses."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
ROWS = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", GLOSSARY.read_text(), re.MULTILINE)[1:]
TERMS = [term for term, _ in ROWS]
USED = "\n".join(
    path.read_text()
    for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "engagement_platform").rglob("*.py")]
    if path != GLOSSARY
).lower()


def test_terms_stand_in_order_and_once() -> None:
    assert sorted(set(TERMS)) == TERMS
    assert len(TERMS) > 40


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_used(term: str) -> None:
    words = re.escape(term).replace(r"\ ", r"[\s_-]+")
    assert re.search(rf"\b{words}", USED), "nobody says so: take the line out, or say what is said"
