"""A shop: a table that is not the packaged stream's, with what a newcomer's may have."""

from datetime import date
from typing import Any

import psycopg

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (
    customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email text, country text NOT NULL);
COMMENT ON COLUMN shop.customers.country IS 'Where the customer lives, two letters.';
CREATE TABLE shop.orders (
    order_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed_at timestamptz NOT NULL DEFAULT now(),
    customer_id bigint REFERENCES shop.customers,
    channel text NOT NULL,
    cents bigint NOT NULL);
COMMENT ON TABLE shop.orders IS 'What was bought.';
COMMENT ON COLUMN shop.orders.cents IS 'What was paid, in cents.';
GRANT USAGE ON SCHEMA shop TO engagement_reader;
GRANT SELECT ON shop.orders, shop.customers TO engagement_reader;
"""

COUNTRIES = ("DE", "EG", "FR")
CHANNELS = ("web", "shop", "phone")


def make_shop(connection: psycopg.Connection[Any], customers: int = 30) -> None:
    """Make the tables, with customers."""
    for statement in SHOP.strip().split(";\n"):
        connection.execute(statement.encode())
    connection.execute(
        "INSERT INTO shop.customers (name, email, country) SELECT 'Customer ' || n, n || '@example.org', "
        "(%(countries)s::text[])[1 + n %% 3] FROM generate_series(1, %(n)s) AS n",
        {"countries": list(COUNTRIES), "n": customers},
    )


def order(connection: psycopg.Connection[Any], n: int = 1, day: date | None = None) -> list[int]:
    """Insert orders, now or within a day; return their numbers."""
    at = "now()" if day is None else f"'{day} 10:00:00+00'::timestamptz + n * interval '1 second'"
    rows = connection.execute(
        f"INSERT INTO shop.orders (placed_at, customer_id, channel, cents) SELECT {at}, 1 + n % 30, "
        f"(ARRAY['web', 'shop', 'phone'])[1 + n % 3], 100 + n FROM generate_series(1, {n}) AS n RETURNING "
        "order_no".encode()
    ).fetchall()
    return [row[0] for row in rows]
