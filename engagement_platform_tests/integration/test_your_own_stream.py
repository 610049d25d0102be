"""docs/your-own-stream.md, done as it stands there, beside `engagement` under load and with kills."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.history.reconcile import reconcile_days
from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings, load
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.docs.page import Page, Shell, put_behind
from engagement_platform_tests.integration.dagster_dev import ROOT, children, dagster_dev, environment, kill
from engagement_platform_tests.integration.writing import beside
from engagement_platform_tests.streaming import insert, read_all, wait_for

PATIENCE = 300.0
TODAY = datetime.now(UTC).date()

pytestmark = [pytest.mark.newcomer, pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture
def source(own_stack: Endpoints) -> SourceDatabase:
    return make_source(own_stack)[1]


@pytest.fixture
def own_settings(own_stack: Endpoints, own_stack_folder: Path, source: SourceDatabase) -> Settings:
    """Those of `engagement`; what stands for one stream has its usual name."""
    return make_settings(
        own_stack,
        source.dsn,
        own_stack.platform_dsn,
        lease_seconds=600,
        first_day=TODAY - timedelta(days=10),
        stage_seconds=3.0,
        state_dir=own_stack_folder,
        warehouse_uri=str(own_stack_folder / "warehouse"),
    )


@pytest.fixture
def shell(own_stack: Endpoints, own_stack_folder: Path, own_settings: Settings, tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, environment(own_stack, own_stack_folder, own_settings))
    yield made
    made.close()


@pytest.fixture
def owner(source: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source.admin_dsn, autocommit=True) as connection:
        yield connection


def write_on(source: SourceDatabase, stop: threading.Event) -> None:
    """Writes to both tables, some 100 rows a second each, some in transactions that end late or never."""
    chance = random.Random(7)
    orders = (
        "INSERT INTO shop.orders (customer_id, channel, cents) "
        "SELECT 1 + n %% 30, (ARRAY['web', 'app'])[1 + n %% 2], n FROM generate_series(1, %s) AS n"
    )
    with psycopg.connect(source.admin_dsn) as quick, psycopg.connect(source.admin_dsn) as late:
        while not stop.wait(0.2):
            insert(quick, 20)
            quick.execute(orders, [15])
            late.execute(orders, [5])
            insert(late, 2)
            quick.commit()
            if chance.random() < 0.2:
                (late.rollback if chance.random() < 0.3 else late.commit)()
        late.commit()


def published(settings: Settings, name: str) -> list[int]:
    return sorted(json.loads(record.value)[name] for record in read_all(settings, settings.topics.events))


def numbers(owner: psycopg.Connection[Any], statement: str) -> list[int]:
    return [row[0] for row in owner.execute(statement.encode()).fetchall()]


ORDERS = "SELECT order_no FROM shop.orders ORDER BY 1"
EVENTS = "SELECT id FROM engagement_events ORDER BY 1"
EVERYTHING = (
    "SELECT order_no, channel, cents FROM orders "
    "WHERE placed_at >= TIMESTAMP '2000-01-01 00:00:00+00' ORDER BY order_no"
)


def loaded(settings: Settings) -> list[int]:
    rows: list[int] = open_warehouse(settings).query(EVERYTHING).column("order_no").to_pylist()
    return rows


def counted(settings: Settings) -> tuple[dict[str, int], int]:
    """Return what the views count by channel, and when their window begins, in milliseconds; as of one moment."""
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as client:
        pipe = client.pipeline(transaction=True)
        pipe.zrange("{orders}:view:channel:count", 0, -1, withscores=True)
        pipe.hget("{orders}:meta", "window_start")
        scores, start = pipe.execute()
    return {member: int(score) for member, score in scores}, int(start)


def expected(owner: psycopg.Connection[Any], start: int) -> dict[str, int]:
    rows = owner.execute(
        "SELECT channel FROM shop.orders WHERE floor(extract(epoch FROM placed_at) / 10) * 10000 >= %s", [start]
    ).fetchall()
    return dict(Counter(row[0] for row in rows))


def test_the_page(
    shell: Shell,
    owner: psycopg.Connection[Any],
    source: SourceDatabase,
    own_settings: Settings,
    own_stack_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = Page(ROOT / "docs" / "your-own-stream.md")
    _write_the_folder(page, shell, owner, tmp_path)
    shell.type(page.next("sh", "ENGAGEMENT_STREAMS"))
    page.next("sh", "dagster dev")
    _take_over(shell, monkeypatch)
    orders = load("orders")
    with dagster_dev(own_stack_folder, shell.variables) as dagster:
        with beside(partial(write_on, source)):
            _run_it(page, shell, owner, orders, dagster)
        _compare(owner, own_settings, orders)
    _change_it(page, shell, owner, orders, tmp_path, own_stack_folder)


def _write_the_folder(page: Page, shell: Shell, owner: psycopg.Connection[Any], home: Path) -> None:
    owner.execute(page.next("sql", "CREATE SCHEMA shop").encode())
    assert "run.py" in page.next("sh", "ENGAGEMENT_LOCAL_WRITER_DSN")  # docs/test_your_own_stream.py types it
    assert "wrote streams/orders/enriched.sql" in shell.type(page.next("sh", "stream init"))
    assert page.next("text").strip() in (home / "streams" / "orders" / "enriched.sql").read_text()
    said = shell.type(page.next("sh", "stream preview"))
    assert "streams/orders can be a stream" in said
    assert said.count("\nvalue: ") == 3


def _take_over(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process have what the shell has, and be where `dagster dev` is to run."""
    monkeypatch.chdir(ROOT)
    for name, value in shell.variables.items():
        if name.startswith(("ENGAGEMENT_", "DAGSTER_")):
            monkeypatch.setenv(name, value)


def _run_it(page: Page, shell: Shell, owner: psycopg.Connection[Any], orders: Settings, dagster: Dagster) -> None:
    owner.execute(page.next("sql", "INSERT INTO shop.orders").encode())
    wait_for(lambda: len(_quietly(loaded, orders)) >= 302, "orders in the warehouse", PATIENCE)
    victims = children(dagster, "multiprocessing")  # the workers of the runs of both streams, with their ops
    assert len(victims) > 4
    kill(victims)
    written = len(numbers(owner, ORDERS))
    wait_for(lambda: len(_quietly(published, orders, "order_no")) > written, "orders after the kill", PATIENCE)
    page.next("sh", "engagement-platform status")
    assert "orders" in shell.type("engagement-platform status", codes=(0, 1))
    said = shell.type(
        'engagement-platform sql --stream orders "SELECT COUNT(*) AS n FROM orders WHERE placed_at > TIMESTAMP '
        "'2024-01-01 00:00:00+00'\""
    )
    assert re.search(r"\d{3}", said)
    shown = shell.run(page.next("python", "redis.Redis"))
    assert {line.split()[0] for line in shown.split("\n") if line.strip()} == {"DE", "EG", "FR"}
    assert "2 of 2 days done" in shell.type(page.next("sh", "backfill --stream orders --since"))


def _compare(owner: psycopg.Connection[Any], engagement: Settings, orders: Settings) -> None:
    """See that every row of both tables is everywhere, once."""
    wait_for(lambda: published(orders, "order_no") == numbers(owner, ORDERS), "the topic of orders", PATIENCE)
    wait_for(lambda: published(engagement, "id") == numbers(owner, EVENTS), "the topic of engagement", PATIENCE)
    wait_for(lambda: loaded(orders) == numbers(owner, ORDERS), "the warehouse of orders", PATIENCE)
    wait_for(lambda: (seen := counted(orders))[0] == expected(owner, seen[1]), "the views of orders", PATIENCE)
    assert not any(day.differs for day in reconcile_days(orders, [TODAY - timedelta(days=1), TODAY]))


def _change_it(
    page: Page, shell: Shell, owner: psycopg.Connection[Any], orders: Settings, home: Path, state: Path
) -> None:
    folder = home / "streams" / "orders"
    kept, line = page.next("diff").splitlines()
    put_behind(folder / "enriched.sql", kept.strip(), line.removeprefix("+"))
    put_behind(folder / "stream.toml", "[columns]", page.next("toml", "is_large"))
    assert "can be a stream" in shell.type("engagement-platform stream check streams/orders")
    said = shell.type(page.next("sh", "stream diff"), codes=(1,))
    assert "column added: is_large" in said
    with dagster_dev(state, shell.variables):
        (number,) = numbers(
            owner, "INSERT INTO shop.orders (customer_id, channel, cents) VALUES (1, 'web', 5000) RETURNING order_no"
        )
        wait_for(lambda: number in loaded(orders), "the order with the new column", PATIENCE)
        record = next(
            one for one in read_all(orders, orders.topics.events) if json.loads(one.value)["order_no"] == number
        )
        assert json.loads(record.value)["is_large"] is True
        assert dict(record.headers)["schema-version"] == b"2"
        assert "stale by formula" in shell.type("engagement-platform warehouse status --stream orders")
        said = shell.type(page.next("sh", "backfill --stream orders --stale"))
        assert re.search(r"\b(\d+) of \1 days done", said), said
        assert "stale by formula: none" in shell.type("engagement-platform warehouse status --stream orders")
    rows = open_warehouse(orders).query(EVERYTHING.replace("cents", "is_large")).column("is_large").to_pylist()
    assert None not in rows[-100:]


def _quietly(ask: Any, *arguments: Any) -> Any:
    """Ask what may not be there yet."""
    with suppress(Exception):
        return ask(*arguments)
    return []
