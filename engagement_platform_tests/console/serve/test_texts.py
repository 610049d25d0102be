"""Every sentence is there in every language, with the same placeholders, and all that a page asks for are there."""

import ast
import re
import string
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from engagement_platform.console import serve
from engagement_platform.console.serve import texts
from engagement_platform.console.serve.change_words import action, outcome
from engagement_platform.console.serve.refusals import PageRefusal, said, title
from engagement_platform.console.serve.texts import LANGUAGES, Texts, chosen
from engagement_platform.domain.judgement.stream import OF_A_SHARD

FOLDER = Path(serve.__file__).parent
ALL = texts._all()


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", ALL)
def test_every_text_is_there_in_every_language_with_the_same_placeholders(key: str) -> None:
    assert ALL[key].keys() == LANGUAGES.keys()
    english, *others = (ALL[key][language] for language in LANGUAGES)
    for other in others:
        if key.startswith("conditions."):  # what a server answered stands below, in its own language
            assert other
            assert placeholders(other) <= placeholders(english)
        else:
            assert other
            assert english
            assert placeholders(other) == placeholders(english)


def asked_for() -> dict[str, str]:
    """Texts that templates and modules ask for by their whole name -> where."""
    asked = {}
    for file in [*FOLDER.rglob("*.html"), *FOLDER.rglob("*.py")]:
        for name in re.findall(r"""\bt(?:exts)?(?:\.unfilled)?\(\s*"([a-z_.]*[a-z_])"[,)\s]""", file.read_text()):
            asked[name] = file.name
    return asked


def test_every_text_that_a_page_asks_for_is_there() -> None:
    assert len(asked_for()) > 30
    assert {name: file for name, file in asked_for().items() if name not in ALL} == {}


def test_every_text_is_asked_for() -> None:
    """By its whole name, or by its beginning where the rest depends on what is shown."""
    text = "\n".join(file.read_text() for file in [*FOLDER.rglob("*.html"), *FOLDER.rglob("*.py")])
    begun = set(re.findall(r"""["'](\w+\.[\w.]*\.)["'] ~""", text)) | set(re.findall(r'f"(\w+\.[\w.]*\.?)\{', text))
    unasked = [key for key in ALL if f'"{key}"' not in text and not any(key.startswith(begin) for begin in begun)]
    assert unasked == []


def test_every_form_of_a_condition_has_its_sentences() -> None:
    forms = {*OF_A_SHARD, *OF_A_SHARD.values()}
    for file in (FOLDER.parents[1] / "domain/judgement").glob("*.py"):
        forms |= {
            text.value
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.keyword) and node.arg == "form"
            for text in ast.walk(node.value)
            if isinstance(text, ast.Constant) and isinstance(text.value, str)
        }
    assert forms
    for form in forms:
        for part in ("title", "means", "todo"):
            assert f"conditions.{form}.{part}" in ALL


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, texts.UNKNOWN), (0.0004, "0.4 ms"), (0.0209, "21 ms"), (0.9999, "1 s"), (1.24, "1.2 s"), (61, "61 s"),
        (119, "119 s"), (180, "3 min"), (7_000, "117 min"), (7_201, "2 h"), (200_000, "2.3 days"),
        (9e9, "104,167 days"),
    ],
)  # fmt: skip
def test_a_duration_is_in_the_unit_in_which_it_is_read_at_once(seconds: float | None, shown: str) -> None:
    assert Texts("en").duration(seconds) == shown


def test_a_time_of_another_day_has_its_day() -> None:
    now = 1_795_761_361.0
    assert Texts("en").clock(now - 60, now) == "06:35 UTC"
    assert Texts("en").clock(now - 86_400, now) == "2026-11-26 06:36 UTC"


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        (None, "", "en"), (None, "ar", "ar"), (None, "de, ar-EG;q=0.8, en;q=0.5", "ar"), (None, "ar;q=0.2, en", "en"),
        ("ar", "en", "ar"), ("xx", "ar", "ar"), (None, "ar;q=nonsense, *;q=0.1", "en"), (None, "ar;q=0", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_chosen_one_else_the_browsers(cookie: str | None, accepted: str, language: str) -> None:
    assert chosen(cookie, accepted).language == language


def test_the_pages_own_refusals_are_said_in_the_readers_language() -> None:
    english, arabic = Texts("en"), Texts("ar")
    refusal = PageRefusal(404, "no_stream", name="orders", names="engagement")
    assert (refusal.detail, said(refusal, english)) == ("There is no stream orders. There are: engagement.",) * 2
    assert said(refusal, arabic) == "لا يوجد تدفق باسم \u2068orders\u2069. الموجود: \u2068engagement\u2069."
    of_a_server = HTTPException(503, "It does not answer.")
    assert said(of_a_server, arabic) == "It does not answer."
    assert title(404, "Not Found", arabic) == "لا يوجد شيء كهذا"
    assert title(418, "I'm a Teapot", arabic) == "I'm a Teapot"


def test_no_page_refuses_in_one_language_only() -> None:
    """Sentences of the guard for programs, which are no pages', are lines of text."""
    raised = [
        f"{file.name}: {found}"
        for file in FOLDER.glob("*.py")
        for found in re.findall(r"raise HTTPException\(.*", file.read_text())
        if "texts(" not in found and "fault" not in found
    ]
    assert raised == []


@pytest.mark.parametrize(
    ("kept", "english"),
    [
        ("done", "done"),
        ("3 letters redriven, 1 cannot be", "3 letters redriven, 1 cannot be"),
        ("3 letters redriven, 1 cannot be, 2 events sent", "3 letters redriven, 1 cannot be, 2 events sent"),
        ("2 letters discarded", "2 letters discarded"),
        ("failed: Kafka does not answer.", "failed: Kafka does not answer."),
        ("started: backfill abc", "started: backfill abc"),
        ("delivered: status 200", "delivered: status 200"),
        (None, "not ended"),
    ],
)
def test_outcomes_of_changes_are_said_in_the_readers_language(kept: str | None, english: str) -> None:
    assert outcome(Texts("en"), kept) == english
    if kept and not kept.startswith("delivered"):
        assert outcome(Texts("ar"), kept) != english
    assert action(Texts("ar"), "redrive") == "أُعيد الإرسال"
    assert action(Texts("ar"), "of a later version") == "of a later version"
