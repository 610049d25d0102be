"""docs/errors.md has every error that stops something, and none that the program does not say."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from engagement_platform.console.serve.texts import _all as every_text
from engagement_platform.orchestration.warehouse.checks import properties_of
from engagement_platform_tests.streams import PACKAGED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text()
STOPPING = {"StreamStopped", "TableUnusable", "NumberTaken"}
"""Errors after which a person has to act. Others are explained by their own text, or tried again."""


def phrases() -> list[str]:
    """The first cells of the tables of what is said."""
    rows = re.findall(r"^\| it says .*?\n\n|^\| it says .*\Z", PAGE, re.MULTILINE | re.DOTALL)
    return [line.split(" | ")[0].removeprefix("| ") for row in rows for line in row.strip().splitlines()[2:]]


def nodes(*words: str) -> Iterator[ast.AST]:
    """What stands in the modules of the package, or in those that have one of the words."""
    for file in sorted((ROOT / "engagement_platform").rglob("*.py")):
        text = file.read_text()
        if not words or any(word in text for word in words):
            yield from ast.walk(ast.parse(text))


@cache
def texts() -> frozenset[str]:
    """The package's texts, those of the pages in English; `…` for what is filled in."""
    of_pages = {re.sub(r"{\w+}", "…", text["en"]) for text in every_text().values()}
    return frozenset(map(text_of, nodes())) | of_pages


def stopping() -> list[str]:
    """Those of errors that stop something. Every process of the tests asks for them when it collects."""
    calls = [
        node
        for node in nodes(*(f"{error}(" for error in STOPPING))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in STOPPING
    ]
    found = {text_of(call.args[0]) for call in calls if call.args}
    return sorted(text for text in found if re.search("[a-z]", text))


def text_of(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or "…" for part in parts)
        case ast.Call(func=ast.Attribute(value=inner)):
            return text_of(inner)
        case _:
            return ""


def says(template: str, phrase: str) -> bool:
    return pattern(phrase).search(template) is not None


@cache
def pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in phrase.split("…")), re.DOTALL)


@pytest.mark.parametrize("phrase", phrases())
def test_what_the_page_has_is_said(phrase: str) -> None:
    assert any(says(template, phrase) for template in texts())


@pytest.mark.parametrize("template", stopping())
def test_what_stops_something_is_on_the_page(template: str) -> None:
    assert any(says(template, phrase) for phrase in phrases())


def test_every_check_is_on_the_page() -> None:
    assert all(f"| `{each.name}`" in PAGE for each in properties_of(PACKAGED))
