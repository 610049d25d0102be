"""Owners: whatever the platform takes, Dagster takes too."""

import dagster as dg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement_platform.domain import owners

_PARTS = st.text("abZ09._%+-@: team,", max_size=20)


@example(".@0.ZZ")
@example("-a@example.international")
@given(st.one_of(_PARTS, st.from_regex(r"team:[a-z-]{1,5}|[a-z.]{1,5}@[a-z]{1,4}\.[a-z]{1,3}", fullmatch=True)))
def test_what_is_taken_is_an_owner_for_dagster(text: str) -> None:
    if owners.fault(text) is None:
        dg.AssetSpec("a", owners=list(owners.of(text)))


@pytest.mark.parametrize("text", ["", "data@example.com", "team:data", " team:data , ana@example.com,"])
def test_lists_may_have_blanks_and_be_empty(text: str) -> None:
    assert owners.fault(text) is None


@pytest.mark.parametrize(
    "text",
    ["data", "team:", "team: data", "@example.com", "data@example", "team:a;team:b", ".a@b.org", "a@b.engineering"],
)
def test_what_is_no_owner_is_named(text: str) -> None:
    assert text.split(",", maxsplit=1)[0] in str(owners.fault(text))
