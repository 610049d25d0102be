"""The commands for dead letters, against the real servers."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from engagement_platform.console import letters
from engagement_platform.settings import Settings
from engagement_platform_tests.letters import bury, letter

pytestmark = pytest.mark.usefixtures("in_environment")


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(letters.dead_letters, arguments, input=answer)


def objects(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_letters_are_listed_the_newest_last_and_narrowed(settings: Settings) -> None:
    bury(settings, [letter(1), letter(2, "relay", reason="too large"), letter(3, "stage", reason="not an event")])
    listed = run("list")
    assert listed.exit_code == 0
    assert [listed.output.index(f"0:{offset}") for offset in range(3)] == sorted(
        listed.output.index(f"0:{offset}") for offset in range(3)
    )
    for options, wanted in (
        (["--reason", "LARGE"], [2]),
        (["--source", "stage", "--source", "relay"], [2, 3]),
        (["--id", "1"], [1]),
        (["--since", "2999-01-01"], []),
        (["--until", datetime.now(UTC).isoformat()], [1, 2, 3]),
        (["--limit", "2"], [2, 3]),
    ):
        found = objects(run("list", "--format", "json", *options))
        assert [each["event_id"] for each in found] == wanted, options
    assert "3 letters, of which the newest 1 are shown" in run("list", "--limit", "1").output


def test_a_letter_is_shown_with_its_event_and_nothing_that_steers_a_terminal(settings: Settings) -> None:
    bury(settings, [letter(1, response="\x1b[31mred\x07", status=422), letter(2, keeps=False)])
    shown = run("show", "0:0")
    assert shown.exit_code == 0
    assert '"engagement_pct": null' in shown.output
    assert "�[31mred�" in shown.output
    (found,) = objects(run("show", "0:1", "--format", "json"))
    assert (found["address"], found["state"], found["event_id"], found["event"]) == ("0:1", "open", 2, None)
    assert "No letter lies at 0:9" in run("show", "0:9").output
    assert "no address of a letter" in run("show", "9").output
