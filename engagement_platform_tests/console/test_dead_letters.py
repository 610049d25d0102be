"""The commands for dead letters, against the real servers."""

import getpass
import json
import re
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from engagement_platform.console import dead_letters
from engagement_platform.settings import Settings
from engagement_platform_tests.dead_letters.support import bury, letter, states

pytestmark = pytest.mark.usefixtures("in_environment")


def run(*arguments: str, answer: str | None = None, columns: int = 200) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(dead_letters.dead_letters, arguments, input=answer)


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_letters_are_listed_the_newest_last_and_narrowed(settings: Settings) -> None:
    bury(settings, [letter(1), letter(2, "relay", reason="too large"), letter(3, "stage", reason="not an event")])
    listed = run("list")
    assert listed.exit_code == 0
    assert re.findall(r"\b0:\d\b", listed.output) == ["0:0", "0:1", "0:2"]
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


def test_in_a_narrow_terminal_the_reason_is_cut_and_nothing_else(settings: Settings) -> None:
    bury(settings, [letter(1234567, reason="too large: " + "x" * 200)])
    narrow = run("list", columns=90)
    assert narrow.exit_code == 0
    assert {len(line) for line in narrow.output.splitlines()} == {90}
    (row,) = [line for line in narrow.output.splitlines() if "0:0" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:1] + cells[2:6] == ["0:0", "forward", "1234567", "open", ""]
    assert datetime.fromisoformat(cells[1]).replace(tzinfo=UTC) <= datetime.now(UTC)
    assert cells[6].startswith("too large: x")
    assert cells[6].endswith("…")


def test_a_letter_is_shown_with_its_event_and_nothing_that_steers_a_terminal(settings: Settings) -> None:
    bury(settings, [letter(1, response="\x1b[31mred\x07", status=422), letter(2, keeps=False)])
    shown = run("show", "0:0")
    assert shown.exit_code == 0
    assert '"engagement_pct": null' in shown.output
    assert "�[31mred�" in shown.output
    (found,) = objects(run("show", "0:1", "--format", "json"))
    assert (found["address"], found["state"], found["event_id"]) == ("0:1", "open", 2)
    assert "event" not in found
    assert "No letter lies at 0:9" in run("show", "0:9").output
    assert "no address of a letter" in run("show", "9").output


def test_json_is_one_line_a_letter_with_numbers_to_the_digit_and_harmless(settings: Settings) -> None:
    event = '{\n "raw_payload": [1.10, 1e400, 123456789012345678901],\n "title": "a\u202eb\x9bcع"}'.encode()
    bury(settings, [letter(1, event=msgspec.Raw(event))])
    (line,) = run("list", "--format", "json").output.splitlines()
    assert line.isprintable()
    assert '"raw_payload":[1.10,1e400,123456789012345678901]' in line
    assert json.loads(line)["event"]["title"] == "a\u202eb\x9bcع"
    shown = run("show", "0:0").output
    assert "123456789012345678901" in shown
    assert all(each.isprintable() for each in shown.splitlines())


def test_a_redrive_is_said_letter_by_letter_and_needs_to_know_which(settings: Settings) -> None:
    bury(settings, [letter(1, "relay"), letter(2, "tally")])
    assert "Say which letters" in run("redrive").output
    tried = run("redrive", "--all", "--dry-run")
    assert tried.exit_code == 1
    assert "0:0 event 1: stays, the source has no event 1" in tried.output
    assert "0 letters would be redriven, 2 cannot be." in tried.output
    assert set(states(settings).values()) == {"open"}
    assert run("redrive", "0:1").exit_code == 1
    shown = run("show", "0:1").output
    assert "there is no redrive for letters of tally" in shown
    assert getpass.getuser() in shown


def test_discarding_asks_first_wants_a_reason_and_is_recorded(settings: Settings) -> None:
    bury(settings, [letter(1), letter(2), letter(3)])
    assert "--why" in run("discard", "0:0").output
    assert run("discard", "0:0", "--why", "test data", answer="n\n").exit_code == 1
    assert run("discard", "--id", "2", "--why", "x", "--dry-run").exit_code == 0
    assert set(states(settings).values()) == {"open"}
    done = run("discard", "--id", "1", "--id", "2", "--why", "test data", "--yes")
    assert done.exit_code == 0, done.output
    assert states(settings) == {1: "discarded", 2: "discarded", 3: "open"}
    assert "0 letters would be discarded" in run("discard", "0:0", "--why", "x", "--yes").output
    assert [each["event_id"] for each in objects(run("list", "--format", "json"))] == [3]
    (shown,) = objects(run("list", "--state", "all", "--id", "1", "--format", "json"))
    (action,) = shown["actions"]
    assert (action["kind"], action["why"], action["outcome"]) == ("discard", "test data", "done")
    assert action["who"].startswith(f"{getpass.getuser()}@")


def test_what_somebody_has_acted_on_during_the_question_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(settings, [letter(1), letter(2)])

    def somebody_is_faster(*_: object, **__: object) -> None:
        assert run("discard", "--id", "1", "--why", "mine", "--yes").exit_code == 0

    monkeypatch.setattr(click, "confirm", somebody_is_faster)
    said = run("discard", "--all", "--why", "yours").output
    assert "1 letters are discarded." in said
    assert "1 were redriven or discarded by somebody meanwhile" in said
    (first,) = objects(run("list", "--state", "all", "--id", "1", "--format", "json"))
    assert [each["why"] for each in first["actions"]] == ["mine"]


def test_what_was_settled_is_redriven_only_when_that_is_wanted(settings: Settings) -> None:
    bury(settings, [letter(1)])
    run("discard", "--all", "--why", "a mistake", "--yes")
    assert "0 letters redriven, 0 cannot be." in run("redrive", "0:0").output
    assert "0:0 event 1: stays, there is no partner" in run("redrive", "0:0", "--again").output
    assert states(settings) == {1: "open"}
