"""`backfill --retry`: what it starts says which backfill it repeats, so that the failure of that one is over."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg
import pytest

from engagement_platform.console import backfills as command
from engagement_platform.domain.removal import TAG
from engagement_platform.orchestration.private import REPEATS
from engagement_platform.orchestration.warehouse import backfill
from engagement_platform.orchestration.warehouse.backfill import DayState, Progress
from engagement_platform_tests.streams import PACKAGED

DAY = date(2026, 1, 2)
TABLE = dg.AssetKey(["warehouse", "engagement_events"])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """Return the tags of each backfill that is started. Dagster's daemon, which would do the work, does not run."""
    tags_of: list[Mapping[str, str]] = []

    @contextmanager
    def instance() -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.ephemeral() as made:
            yield made

    def start(assets: object, days: object, why: str, *, tags: Mapping[str, str]) -> str:
        assert (assets, days, why) == ((TABLE,), [DAY], "the failed days of abc")
        tags_of.append(tags)
        return "again"

    failed = Progress("abc", "FAILED", ended=True, days={DAY: DayState.FAILED}, error=None, assets=(TABLE,))
    monkeypatch.setattr(command, "instance", instance)
    monkeypatch.setattr(backfill, "progress", lambda *_: failed)
    monkeypatch.setattr(backfill, "require_daemon", lambda _: None)
    monkeypatch.setattr(backfill, "start", start)
    monkeypatch.setattr(command, "obstacles", lambda *_: [])
    return tags_of


@pytest.mark.parametrize(("allow_removal", "more"), [(False, {}), (True, {TAG: "true"})])
def test_a_retry_says_what_it_repeats(
    started: list[Mapping[str, str]], allow_removal: bool, more: dict[str, str]
) -> None:
    settings: Any = PACKAGED  # nothing of it is read where Dagster does the work
    command.run(settings, [], [TABLE], resume=None, retry="abc", cancel=None, allow_removal=allow_removal, detach=True)
    assert started == [{REPEATS: "abc", **more}]
