"""init: the folder may have any name, and what stands in its files leads there."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from engagement_platform.console.commands import init
from engagement_platform.console.folder import write
from engagement_platform.domain.errors import EngagementError

NAMES = ["plain", "two words", "a 'quote'", 'a "quote"', "#1", "100%", "$HOME", "`id`", "back\\slash", "a: b", "ünï"]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_folder_is_called_its_files_lead_there(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    said = CliRunner().invoke(init, [str(home)], catch_exceptions=False).output
    assert f"    cd {shlex.quote(str(home))}\n" in said
    script = 'set -a; . ./.env; set +a; printf \'%s\\n\' "$DAGSTER_HOME" "$ENGAGEMENT_STATE_DIR"'
    sourced = subprocess.run(["sh", "-eu", "-c", script], cwd=home, capture_output=True, text=True, check=True)
    assert sourced.stdout.splitlines() == [str(home), f"{home}/state"]
    dagster = yaml.safe_load((home / "dagster.yaml").read_text())
    assert f"{home}/state/dagster" in [part["config"].get("base_dir") for part in dagster.values() if "config" in part]
    for name in ("engagement-platform", "engagement-platform-page"):
        unit = (home / f"{name}.service").read_text().splitlines()
        assert f"WorkingDirectory={str(home).replace('%', '%%')}" in unit
        assert name in said


def test_an_interpreter_with_blanks_in_its_path_is_one_word_of_the_unit() -> None:
    files = write.contents(Path("/home"), Path("/my venv/100%/python"), "me")
    assert 'ExecStart="/my venv/100%%/python" -m dagster dev' in files["engagement-platform.service"][0]
    assert (
        'ExecStart="/my venv/100%%/python" -m engagement_platform serve' in files["engagement-platform-page.service"][0]
    )


@pytest.mark.parametrize("folder", ["a file/below", "two\nlines"])
def test_a_folder_that_cannot_be_is_said(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(EngagementError, match="folder"):
        list(write.write(tmp_path / folder))


def test_a_user_without_a_name_is_named_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number which no file of users has."""
    monkeypatch.setattr("os.geteuid", lambda: 987_654)
    list(write.write(tmp_path))
    assert "User=987654" in (tmp_path / "engagement-platform.service").read_text().splitlines()
