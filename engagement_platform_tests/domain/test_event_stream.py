"""What `stream.toml` may say, and what is said where it cannot be used."""

import copy
import hashlib
from typing import Any

import pytest

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import Dimension, EventStream, Measure, Views, stream_of
from engagement_platform.domain.stream_form import SourceTable
from engagement_platform_tests.streams import PACKAGED

ORDERS: dict[str, Any] = {
    "name": "orders",
    "meaning": "What was bought.",
    "source": {"table": "shop.orders", "id": "order_no", "time": "placed_at"},
    "message": {"key": "customer_id"},
    "views": {
        "dimensions": {"country": {"column": "country"}, "customer": {"column": "customer_id", "shown": ["name"]}},
        "measures": {"cents": "amount_cents"},
    },
    "warehouse": {"table": "orders"},
}


def made(**changes: Any) -> EventStream:
    return stream_of(copy.deepcopy(ORDERS) | changes, "SELECT 1", {}, "orders/stream.toml")


def test_a_folder_is_one_value() -> None:
    orders = made()
    assert orders.source == SourceTable("shop.orders", "order_no", "placed_at")
    assert orders.views.dimensions == (Dimension("country", "country"), Dimension("customer", "customer_id", ("name",)))
    assert orders.views.measures == (Measure("count", None), Measure("cents", "amount_cents"))
    assert orders.user is None


def test_each_column_that_is_counted_or_shown_is_named_once() -> None:
    views = Views((Dimension("a", "x", ("y", "x")), Dimension("b", "y")), (Measure("count", None), Measure("n", "x")))
    assert views.columns == ("x", "y")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Orders"}, "'Orders' is no name"),
        ({"name": "orders; DROP"}, "is no name"),
        ({"name": "orders_"}, "'orders_' is no name of a stream"),
        ({"name": "my__orders"}, "'my__orders' is no name of a stream"),
        ({"name": "o" * 41}, "is no name of a stream"),
        ({"checks": {"unit": "rows"}}, "same_rows_as_source is another check already"),
        ({"checks": {"unit": "values"}}, "same_values_as_source is another check already"),
        ({"checks": {"joined": {"days": {"column": "a", "brings": "b"}}}}, "days_known is another check already"),
        (
            {"views": {"dimensions": {"values": {"column": "a", "shown": ["b"]}}}},
            "values_known is another check already",
        ),
        (
            {"views": {"dimensions": {"a": {"column": "a"}}, "measures": {"rows": "n"}}},
            "name the measure otherwise, or say checks.unit",
        ),
        ({"surce": {}}, "unknown field `surce`"),
        ({"source": {"table": "orders", "id": "order_no"}}, "required field `time`"),
        ({"views": {"dimensions": {}}}, "views.dimensions has none"),
        ({"views": {"dimensions": {"a:b": {"column": "a"}}}}, "'a:b' is no name"),
        (
            {"views": {"dimensions": {"a": {"column": "a"}}, "measures": {"count": "n"}}},
            "count is the number of events",
        ),
        ({"views": {"dimensions": {"a": {"column": 1}}}}, "views.dimensions.a.column: expected `str`, got `int`"),
        (
            {"source": {"table": "orders", "id": "order_no", "tme": "placed_at"}},
            "source.tme: unknown field `tme`: is `time` meant?",
        ),
        ({"warehouse": {"table": "a.b"}}, "'a.b' is no name"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_file(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        made(**changes)
    assert said in str(error.value)
    assert str(error.value).startswith("orders/stream.toml cannot be used")


def test_days_are_stale_by_formula_and_not_by_its_form() -> None:
    one = stream_of(ORDERS, "SELECT a,\n  b", {}, "").code_version
    assert stream_of(ORDERS, "\n\nSELECT a, b", {}, "").code_version == one
    assert stream_of(ORDERS, "SELECT a, -- the first\n  b", {}, "").code_version == one
    assert stream_of(ORDERS, "SELECT b, a", {}, "").code_version != one
    assert stream_of(ORDERS, "SELECT a -- , b", {}, "").code_version != one
    texts = ("SELECT a || ' ' AS b", "SELECT a || '  ' AS b")
    assert len({stream_of(ORDERS, text, {}, "").code_version for text in texts}) == 2


def test_the_packaged_stream_keeps_the_version_by_which_its_days_were_made() -> None:
    assert PACKAGED.own_version == "2d5908a02a0d"
    assert PACKAGED.code_version == "51219ddc5731"
    for mart in PACKAGED.marts.values():
        was = hashlib.sha256(" ".join(mart.query.split()).encode()).hexdigest()[:12]
        assert mart.code_version == was, mart.name


def test_a_formula_that_gives_the_same_values_makes_no_day_stale() -> None:
    was, now = (stream_of(ORDERS, text, {}, "").code_version for text in ("SELECT a", "SELECT (a)"))
    folder = ORDERS | {"warehouse": {"table": "orders", "same_values": {now: was}}}
    assert stream_of(folder, "SELECT (a)", {}, "").code_version == was
    assert stream_of(folder, "SELECT (a) + 1", {}, "").code_version not in {was, now}


def test_a_measure_may_have_the_name_of_a_check_where_the_unit_has_another() -> None:
    views = {"dimensions": {"days": {"column": "a"}}, "measures": {"rows": "n"}}
    assert made(views=views, checks={"unit": "lines"}).checks.unit == "lines"
