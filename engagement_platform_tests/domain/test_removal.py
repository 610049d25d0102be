from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.removal import Removal, RemovalRefused, is_allowed, takes_too_much


@pytest.mark.parametrize(
    ("rows", "gone", "too_much"),
    [
        (0, 0, False),
        (1, 1, True),
        (12, 12, True),
        (12, 7, True),
        (12, 6, True),
        (12, 5, False),
        (2, 1, False),
        (3, 2, True),
        (100, 10, False),
        (110, 11, False),
        (109, 11, True),
        (1_000, 100, False),
        (1_000, 101, True),
        (1_000_000, 100_000, False),
        (1_000_000, 100_001, True),
    ],
)
def test_a_large_part_of_a_day_is_not_taken_away_untold(rows: int, gone: int, too_much: bool) -> None:
    assert takes_too_much(rows, gone) is too_much


@given(st.integers(1, 10**9))
def test_all_of_a_day_is_too_much_and_nothing_never_is(rows: int) -> None:
    assert takes_too_much(rows, rows)
    assert not takes_too_much(rows, 0)


@pytest.mark.parametrize(("tag", "allowed"), [(None, False), ("true", True), ("", True), ("False", False)])
def test_a_tag_allows_it(tag: str | None, allowed: bool) -> None:
    assert is_allowed(tag) is allowed


def test_the_refusal_says_how_many_rows_of_which_day_and_how_they_go_all_the_same() -> None:
    text = str(RemovalRefused([Removal(date(2026, 3, 1), 12, 12, 0)]))
    assert "2026-03-01: 12 of the 12 rows in the warehouse, for the source has 0" in text
    assert "backfill --since 2026-03-01 --until 2026-03-01T23:59:59 --allow-removal" in text
    assert "engagement/allow_removal: true" in text
