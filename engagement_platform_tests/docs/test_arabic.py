"""README.ar.md says what README.md says: the same commands, links, figures and headings."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, ARABIC = ((ROOT / name).read_text() for name in ("README.md", "README.ar.md"))


def code_blocks(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("    ")]


def figures(text: str) -> Counter[str]:
    """The numbers in the cells of tables."""
    cells = [line for line in text.splitlines() if line.startswith("|")]
    return Counter(re.findall(r"\d[\d,]*(?:\.\d+)?", "\n".join(cells).replace("،", " ").replace(", ", " ")))


def levels(text: str) -> list[int]:
    return [len(line) - len(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")]


def others(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.ar.md"}


def test_commands_and_pictures_are_the_same() -> None:
    assert code_blocks(ARABIC) == code_blocks(ENGLISH)


def test_figures_are_the_same() -> None:
    assert figures(ARABIC) == figures(ENGLISH)


def test_headings_and_rows_are_as_many() -> None:
    assert levels(ARABIC) == levels(ENGLISH)
    assert ARABIC.count("\n|") == ENGLISH.count("\n|")


def test_links_are_the_same() -> None:
    assert others(ARABIC) == others(ENGLISH)


def test_each_leads_to_the_other() -> None:
    assert "](README.ar.md)" in ENGLISH
    assert "](README.md)" in ARABIC
