"""What the pages name is there: files, commands, options, settings, targets of make."""

import re
import shlex
from pathlib import Path

import click
import pytest

from engagement_platform.cli import group
from engagement_platform.console.example import from_file
from engagement_platform.definitions import definitions
from engagement_platform.settings import FIELDS, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
_COMMAND = re.compile(r"engagement-platform((?: [^`|\n#;&]+)?)")
_VARIABLE = re.compile(r"\bENGAGEMENT_[A-Z_]+[A-Z]\b")
_OF_A_STREAM = re.compile(r"^ENGAGEMENT_[A-Z_]+__")
_OF_THE_STACK = {"ENGAGEMENT_LOCAL_WRITER_DSN", "ENGAGEMENT_LOCAL_ADMIN_DSN"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_links_lead_to_files(page: Path) -> None:
    targets = [page.parent / link for link in _LINK.findall(page.read_text())]
    assert [str(target) for target in targets if not target.exists()] == []


@each_page
def test_commands_are_there_with_their_options(page: Path) -> None:
    for line in _COMMAND.findall(page.read_text()):
        assert unknown(shlex.split(line.replace("'", "").replace('"', ""))) == "", line


def unknown(words: list[str]) -> str:
    """Return the first word that is neither a command nor an option where it stands, or an empty text."""
    command: click.Command = group
    for word in words:
        if word.startswith("--"):
            if word.split("=")[0] not in {name for option in command.params for name in option.opts}:
                return word
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return word
            command = found
    return ""


@each_page
def test_settings_are_there(page: Path) -> None:
    known = {variable(name) for name in FIELDS} | _OF_THE_STACK
    known |= {f"{name}_FILE" for name in from_file()}
    named = {_OF_A_STREAM.sub("ENGAGEMENT_", name) for name in _VARIABLE.findall(page.read_text())}
    named = {name for name in named if not name.startswith("ENGAGEMENT_TEST_")}  # what tests look at alone
    assert named - known == set()


@each_page
def test_targets_of_make_are_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert f"\n{target}:" in makefile


def test_every_schedule_and_sensor_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE)
    repository = definitions.get_repository_def()
    names = [sensor.name for sensor in repository.sensor_defs] + [each.name for each in repository.schedule_defs]
    assert sorted(rows) == sorted(names)


def test_the_check_of_commands_sees_what_is_not_there() -> None:
    assert unknown(["no-such-command"]) == "no-such-command"
    assert unknown(["backfill", "--no-such-option"]) == "--no-such-option"
    assert unknown(["backfill", "--since", "2026-11-01"]) == ""
