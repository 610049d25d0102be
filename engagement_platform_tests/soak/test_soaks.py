"""The soaks in short. Speeds and latencies are for the long ones, which have the machine to themselves."""

from collections.abc import Sequence

import pytest

from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.soak import soaks

pytestmark = pytest.mark.slow


def broken(figures: Sequence[Figure]) -> list[str]:
    """Return the promises that were broken: what must be none and is some."""
    return [f"{each.what}: {each.value:.0f}" for each in figures if each.at_most == 0 and each.verdict == "missed"]


def value(figures: Sequence[Figure], what: str) -> float:
    (found,) = [each.value for each in figures if each.what == what]
    return found


def test_a_partner_that_is_away_and_misbehaves_and_kills_beside_that(stack: Endpoints) -> None:
    figures = soaks.in_short(stack)
    assert broken(figures) == []
    assert value(figures, "events that waited") > 2_000
    assert value(figures, "most events in a request") == 200
    assert value(figures, "of these, repeats") > 0
    assert value(figures, "dead letters") > 0
