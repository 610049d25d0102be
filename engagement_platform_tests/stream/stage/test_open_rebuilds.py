"""When a rebuild is taken for dead, whatever becomes of the database's clock."""

from datetime import UTC, date, datetime, timedelta

import pytest

from engagement_platform.adapters.platform.rebuilds import RebuildRow
from engagement_platform.stream.stage.open_loads import SILENT_SECONDS, WATCH_SECONDS, Silence

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def row(beat: float, silent: float) -> RebuildRow:
    return RebuildRow(1, date(2026, 1, 1), "run", "open", silent, _EPOCH + timedelta(seconds=beat), None, None)


def dies_at(looks: list[tuple[float, RebuildRow]]) -> float | None:
    """Return the time of the first look that takes it for dead."""
    silence = Silence()
    return next((now for now, seen in looks if silence.is_dead(seen, SILENT_SECONDS, now)), None)


def test_one_that_died_long_ago_is_watched_for_a_moment() -> None:
    assert dies_at([(n / 10, row(0, 600 + n / 10)) for n in range(100)]) == WATCH_SECONDS


def test_one_that_dies_is_noticed_after_three_beats() -> None:
    looks = [(n / 10, row(min(n // 10, 5), max(n / 10 - 5, n / 10 % 1))) for n in range(200)]
    assert dies_at(looks) == pytest.approx(8.1)


def test_one_that_beats_lives() -> None:
    assert dies_at([(n / 10, row(n // 10, n / 10 % 1)) for n in range(1_000)]) is None


def test_one_that_beats_again_after_the_database_stood_still_lives() -> None:
    """The first look after ten seconds of standstill comes before the first beat."""
    looks = [(0.0, row(0, 0.5)), (10.0, row(9, 10.0)), (10.5, row(9, 10.5)), (11.0, row(11, 0.0))]
    assert dies_at(looks) is None


def test_a_clock_that_was_set_back_hides_no_death() -> None:
    looks = [(n / 10, row(0, n / 10 - 300)) for n in range(100)]
    assert dies_at(looks) == pytest.approx(SILENT_SECONDS + 0.1)
