"""The lineage of streams: what it says of the topic holds whatever the topic is called, and tables may be shared."""

import dagster as dg

from engagement_platform.orchestration.assets import bare_name, source_key, sources_of, streamed_of
from engagement_platform.settings import default_of
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, made


def test_the_topic_is_not_named_as_if_its_setting_had_a_fixed_value() -> None:
    topic_events = streamed_of(PACKAGED)[0]
    assert str(default_of("topic")) not in str(topic_events.metadata)


def test_a_table_of_the_source_is_named_by_its_parts() -> None:
    assert source_key("content").path == ["postgres", "content_source"]
    assert source_key("shop.orders").path == ["postgres", "shop", "shop_orders_source"]
    assert source_key('"a.b"."c d"').path == ["postgres", "a_b", "a_b_c_d_source"]
    assert bare_name('"a.b"."c d"') == "a.b.c d"


def test_a_table_that_several_streams_read_is_one_asset_and_tables_that_read_each_other_are_no_circle() -> None:
    refunds = made(name="refunds", table="refunds", source="shop.refunds", joins=("shop.orders", "shop.customers"))
    orders = made(name="orders", table="orders", source="shop.orders", joins=("shop.refunds", "shop.customers"))
    specs = {spec.key: spec for spec in sources_of([orders, refunds, PINGS])}
    customers = source_key("shop.customers")
    assert set(specs) == {customers, *map(source_key, ("shop.orders", "shop.refunds", "pings"))}
    for name in ("shop.orders", "shop.refunds"):
        assert [dep.asset_key for dep in specs[source_key(name)].deps] == [customers]
    assert "orders, refunds" in str(specs[customers].description)
    dg.Definitions.validate_loadable(dg.Definitions(assets=list(specs.values())))


def test_a_stream_without_sums_has_its_views_described() -> None:
    assert "Count of the sliding window by host" in str(streamed_of(PINGS)[1].description)
    assert "Count, cents of the sliding window by country, channel" in str(streamed_of(ORDERS)[1].description)
