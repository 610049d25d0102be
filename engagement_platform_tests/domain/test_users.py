"""Whose events are erased: users of any type."""

from dataclasses import replace

import pytest

from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.users import user_column, user_value
from engagement_platform_tests.streams import ORDERS


def schema(of: str) -> Schema:
    columns = {"order_no": "integer", "placed_at": "timestamp", "buyer": of}
    return Schema(tuple(Column(name, parsed(of)) for name, of in columns.items()), "order_no", "placed_at", "order_no")


BUYERS = replace(ORDERS, user="buyer")


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        ("uuid", "6F1C2A34-0000-4000-8000-0000000000AB", "6f1c2a34-0000-4000-8000-0000000000ab"),
        ("integer", "-17", -17),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("text", " Ann ", " Ann "),
        ("text", "17", "17"),
        ("char", "Ann   ", "Ann"),
    ],
)
def test_a_user_is_what_the_column_holds(of: str, text: str, value: object) -> None:
    assert user_value(user_column(BUYERS, schema(of)), text) == value


@pytest.mark.parametrize(
    ("of", "text"),
    [("uuid", "Ann"), ("uuid", ""), ("integer", "Ann"), ("integer", "1_0"), ("integer", "9223372036854775808")],
)
def test_what_the_column_cannot_hold_is_refused(of: str, text: str) -> None:
    with pytest.raises(EngagementError, match="is no user's id: the column buyer holds"):
        user_value(user_column(BUYERS, schema(of)), text)


def test_a_stream_without_a_column_for_it_says_what_to_do() -> None:
    with pytest.raises(EngagementError, match="no column that names a person"):
        user_column(ORDERS, schema("text"))
    with pytest.raises(EngagementError, match=r"has no column buyer, which its stream\.toml says"):
        user_column(BUYERS, replace(schema("text"), columns=schema("text").columns[:2]))
    for of in ("numeric(10,2)", "jsonb", "array of text", "float"):
        with pytest.raises(EngagementError, match=r"must be a uuid, a whole number or a text"):
            user_column(BUYERS, schema(of))
