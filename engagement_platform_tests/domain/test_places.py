"""Where things lie: as OpenLineage names them, and never with what an address keeps secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.adapters.source.address import Address, address_of
from engagement_platform.domain import places
from engagement_platform.domain.places import Place

_SECRETS = st.from_regex(r"s3cret[a-z0-9]{0,8}", fullmatch=True)


@given(_SECRETS)
def test_no_place_shows_a_password_or_the_path_of_an_api(secret: str) -> None:
    shown = [
        places.of_postgres(*address_of(f"postgresql://ana:{secret}@db.example/shop"), "orders"),
        places.of_postgres(*address_of(f"host=db.example user=ana password={secret} dbname=shop"), "orders"),
        places.of_redis(f"redis://:{secret}@cache.example:6380/2", "orders"),
        places.of_redis(f"unix://:{secret}@/run/redis.sock", "orders"),
        places.of_api(f"https://partner.example/{secret}?key={secret}", "orders"),
        places.of_warehouse("delta", f"s3://{secret}:{secret}@bucket/lake", "orders"),
    ]
    assert not [place for place in shown if secret in repr(place)]


def test_names_are_those_of_openlineage() -> None:
    assert places.of_postgres("db.example", "5433", "shop", "orders") == Place(
        "postgres://db.example:5433", "shop.public.orders", "postgresql://db.example:5433/shop", "shop.public.orders"
    )
    assert places.of_postgres("a,b", "1,2", "shop", "sales.orders").name == "shop.sales.orders"
    assert places.of_kafka("k1.example:9093,k2.example:9093", "orders-events").namespace == "kafka://k1.example:9093"
    assert places.of_kafka("k1.example", "orders-events").namespace == "kafka://k1.example:9092"
    assert places.of_warehouse("bigquery", "acme.media", "orders").name == "acme.media.orders"
    assert places.of_warehouse("bigquery", "acme.media", "orders").namespace == "bigquery"
    local = places.of_warehouse("delta", "/var/lake", "orders")
    assert (local.namespace, local.name, local.uri) == ("file", "/var/lake/orders", "file:///var/lake/orders")
    remote = places.of_warehouse("delta", "s3://bucket/lake", "orders")
    assert (remote.namespace, remote.name) == ("s3://bucket", "lake/orders")


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("postgresql://ana@db.example:5433/shop", Address("db.example", "5433", "shop")),
        ("host='/var/run/pg' dbname=shop", Address("/var/run/pg", "", "shop")),
        ("postgresql://", Address("", "", "")),
        ("no dsn at all", Address("", "", "")),
    ],
)
def test_an_address_tells_the_server_and_nothing_else(dsn: str, address: Address) -> None:
    assert address_of(dsn) == address
