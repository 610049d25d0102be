"""Each stream has a schema of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.stream_names import COMMON, schema_of

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
MAX_IDENTIFIER = 63


def test_the_packaged_stream_stays_where_it_is() -> None:
    assert schema_of("engagement") == COMMON == "engagement_platform"
    assert schema_of("orders") == "engagement_platform_orders"


@given(NAMES, NAMES)
def test_no_two_streams_share_one(one: str, other: str) -> None:
    assert (schema_of(one) == schema_of(other)) == (one == other)
    assert len(schema_of(one)) <= MAX_IDENTIFIER


@pytest.mark.parametrize("name", ["", "Orders", "a" * 41, "a;b", "a b", "1a", "ä", "a\n"])
def test_what_is_no_name_of_a_stream_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a stream"):
        schema_of(name)
