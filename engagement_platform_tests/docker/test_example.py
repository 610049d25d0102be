import re

import pytest

from engagement_platform.console import example
from engagement_platform.settings import FIELDS, load, variable
from engagement_platform_tests.docker.files import REPOSITORY

_LINE = re.compile(r"^#(ENGAGEMENT_[A-Z0-9_]+)=(.*)$", re.MULTILINE)


def test_the_file_is_what_the_settings_say() -> None:
    told = "make it anew: python -m engagement_platform.console.example > .env.example"
    assert (REPOSITORY / ".env.example").read_text() == example.text(), told


def test_every_setting_is_there_once_with_its_meaning() -> None:
    text = example.text()
    assert [name for name, _ in _LINE.findall(text)] == [variable(name) for name in FIELDS]
    flat = " ".join(text.replace("\n# ", " ").split())
    for field in FIELDS.values():
        assert " ".join((field.description or "").split()) in flat


def test_its_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://h/d")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://h/p")
    before = load()
    for name, value in _LINE.findall(example.text()):
        if value:
            monkeypatch.setenv(name, value)
    assert load() == before


def test_no_line_does_anything_as_it_stands() -> None:
    assert all(line.startswith("#") for line in example.text().splitlines() if line)


def test_no_secret_has_a_value() -> None:
    values = dict(_LINE.findall(example.text()))
    secret = [name for name in values if re.search("PASSWORD|TOKEN|KEY|DSN", name)]
    assert len(secret) >= 8
    assert {values[name] for name in secret} == {""}
