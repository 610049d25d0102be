"""The commands pause and resume."""

import getpass

import pytest
from click.testing import CliRunner

from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.console.pauses import pause, resume
from engagement_platform.domain.loop_state import Pause
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES, PAUSABLE


def present(settings: Settings) -> dict[str, Pause]:
    with Pauses.opened(settings, "test") as pauses:
        return pauses.present()


@pytest.mark.usefixtures("in_environment")
def test_a_pause_says_what_it_means_is_kept_with_who_and_why_and_ends(settings: Settings) -> None:
    begun = CliRunner().invoke(pause, ["tally", "--why", "Redis moves"])
    assert begun.exit_code == 0, begun.output
    assert "as_of" in begun.output
    (kept,) = present(settings).values()
    assert (kept.loop, kept.why) == ("tally", "Redis moves")
    assert kept.who.startswith(f"{getpass.getuser()}@")
    assert "paused already, since" in CliRunner().invoke(pause, ["tally"]).output
    assert "goes on" in CliRunner().invoke(resume, ["tally"]).output
    assert present(settings) == {}
    assert "tally is not paused" in CliRunner().invoke(resume, ["tally"]).output


def test_the_relay_is_not_paused_and_why_is_said() -> None:
    refused = CliRunner().invoke(pause, ["relay"])
    assert refused.exit_code == 2
    assert "keep_engagement_stream_alive" in refused.output
    assert "forward, stage, tally" in CliRunner().invoke(resume, ["redis"]).output


def test_all_loops_but_the_relay_can_be_paused() -> None:
    assert set(PAUSABLE) == set(NAMES) - {"relay"}
