"""What an operator would type is what the status prints."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from engagement_platform_tests.chaos.losses import _BACKFILL
from engagement_platform_tests.chaos.sources import printed
from engagement_platform_tests.chaos.system import System

SAID = [
    ("It has the same rows: engagement-platform checkpoint adopt. All of them are new: …", "checkpoint adopt"),
    ("Publish what came since: engagement-platform checkpoint reset --at 4711, then …", "checkpoint reset --at 4711"),
    ("go on: engagement-platform forward restart --at earliest; then …", "forward restart --at earliest"),
    ("on purpose: engagement-platform warehouse restart, which loads the new one", "warehouse restart"),
]


@pytest.mark.parametrize(("text", "command"), SAID)
def test_a_command_is_read_as_it_stands(text: str, command: str) -> None:
    conditions = [{"what": "It stands still.", "means": "", "todo": text}]
    system = cast("System", SimpleNamespace(status=lambda: cast("Any", {"conditions": conditions})))
    assert list(printed(system)) == [command]


def test_the_backfill_that_forward_prints_is_read_with_its_time() -> None:
    said = "read the others from the source: engagement-platform backfill --to api --since 2026-11-01T10:00:00."
    assert _BACKFILL.findall(said) == ["backfill --to api --since 2026-11-01T10:00:00"]
