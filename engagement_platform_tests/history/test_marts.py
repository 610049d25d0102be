"""Every mart against an oracle in plain Python, over random days."""

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlglot

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.marts import Mart
from engagement_platform.history.marts import refresh_day, table_of_mart
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests import warehouse as warehouse_events
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, PACKAGED
from engagement_platform_tests.warehouse import DAY, NEXT, oracle_rows

Row = dict[str, Any]


def write(source: SourceDatabase, seed: int, n: int = 400) -> None:
    chance = random.Random(seed)
    contents = [str(UUID(int=k, version=4)) for k in range(1, 6)]
    users = [str(UUID(int=k, version=4)) for k in range(100, 110)]
    with psycopg.connect(source.writer_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
            "VALUES (%s, %s, %s, %s, %s, now())",
            [
                (c, f"s{k}", f"عنوان {k}", chance.choice(["podcast", "video"]), k or None)
                for k, c in enumerate(contents)
            ],
        )
        cursor.executemany(
            "INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    chance.choice([None, *contents]),
                    chance.choice([None, *users]),
                    chance.choice([None, "play", "play", "pause", "finish", "click"]),
                    datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(-3_600, 90_000)),
                    chance.choice([None, chance.randrange(-500, 100_000)]),
                    chance.choice([None, "ios", "web"]),
                )
                for _ in range(n)
            ],
        )


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def types(rows: list[Row], kind: str) -> int:
    return sum(row["event_type"] == kind for row in rows)


def total(rows: list[Row]) -> Decimal | None:
    known = [row["engagement_seconds"] for row in rows if row["engagement_seconds"] is not None]
    return sum(known, Decimal(0)) if known else None


def users(rows: list[Row]) -> int:
    return len({row["user_id"] for row in rows if row["user_id"] is not None})


def by_content(rows: list[Row]) -> list[Row]:
    made = []
    for (content,), group in grouped(rows, "content_id").items():
        shares = [float(row["engagement_pct"]) for row in group if row["engagement_pct"] is not None]
        plays = types(group, "play")
        made.append(
            {
                "content_id": content,
                "slug": group[-1]["slug"],
                "title": group[-1]["title"],
                "content_type": group[-1]["content_type"],
                "plays": plays,
                "pauses": types(group, "pause"),
                "finishes": types(group, "finish"),
                "clicks": types(group, "click"),
                "unique_users": users(group),
                "engagement_seconds": total(group),
                "mean_engagement_pct": pytest.approx(sum(shares) / len(shares)) if shares else None,
                "completion_rate": pytest.approx(types(group, "finish") / plays) if plays else None,
            }
        )
    return made


def by_device(rows: list[Row]) -> list[Row]:
    return [
        {
            "device": device,
            "events": len(group),
            "plays": types(group, "play"),
            "finishes": types(group, "finish"),
            "unique_users": users(group),
            "engagement_seconds": total(group),
        }
        for (device,), group in grouped(rows, "device").items()
    ]


def by_hour(rows: list[Row]) -> list[Row]:
    hours = [row | {"hour": row["event_ts"].replace(minute=0, second=0, microsecond=0)} for row in rows]
    return [
        {
            "hour": hour,
            "content_type": content_type,
            "event_type": event_type,
            "events": len(group),
            "unique_users": users(group),
            "engagement_seconds": total(group),
        }
        for (hour, content_type, event_type), group in grouped(hours, "hour", "content_type", "event_type").items()
    ]


MARTS = PACKAGED.marts.values()
DAILY_CONTENT, HOURLY = PACKAGED.marts["daily_content_engagement"], PACKAGED.marts["hourly_engagement"]
ORACLES = {DAILY_CONTENT.name: by_content, "daily_device_engagement": by_device, HOURLY.name: by_hour}


def stored(settings: Settings, mart: Mart, day: date) -> list[Row]:
    warehouse = open_warehouse(settings)
    warehouse.ensure(table_of_mart(PACKAGED, mart, ENGAGEMENT_EVENTS))
    found: list[Row] = warehouse.query(f"SELECT * FROM {mart.name} WHERE day = @day", {"day": day}).to_pylist()
    return found


def in_order(rows: list[Row]) -> list[Row]:
    keys = ("content_id", "device", "hour", "content_type", "event_type")
    return sorted(rows, key=lambda row: [str(row.get(key)) for key in keys])


def test_the_last_title_of_the_day_is_shown(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        (content,) = (
            owner.execute(
                "INSERT INTO content (id, slug, title, content_type, publish_ts)"
                " VALUES (gen_random_uuid(), 'z-old', 'z old', 'video', now()) RETURNING id"
            ).fetchone()
            or ()
        )
        for change in ("slug = slug", "slug = 'new', title = 'new', content_type = 'podcast'"):
            owner.execute(f"UPDATE content SET {change}")
            warehouse_events.write(owner, 2, content_id=content)
            drain(relay.run, settings)
            drain(stage.run, settings)
    refresh_day(settings, DAILY_CONTENT, DAY)
    (row,) = stored(settings, DAILY_CONTENT, DAY)
    assert (row["slug"], row["title"], row["content_type"], row["plays"]) == ("new", "new", "podcast", 4)


@pytest.mark.parametrize("seed", range(3))
def test_marts_are_what_the_oracle_makes_of_the_day(settings: Settings, source_db: SourceDatabase, seed: int) -> None:
    write(source_db, seed)
    rebuild_days(settings, [DAY], "run")
    events = [row for row in oracle_rows(source_db) if row["event_ts"].date() == DAY]
    for mart in MARTS:
        wanted = [{"day": DAY} | row for row in ORACLES[mart.name](events)]
        assert refresh_day(settings, mart, DAY) == len(wanted)
        assert in_order(stored(settings, mart, DAY)) == in_order(wanted)


def test_a_refresh_replaces_its_day_and_no_other(settings: Settings, source_db: SourceDatabase) -> None:
    write(source_db, 9)
    rebuild_days(settings, [DAY, NEXT], "run")
    for day in (DAY, NEXT):
        refresh_day(settings, HOURLY, day)
    before = stored(settings, HOURLY, NEXT)
    assert before
    with psycopg.connect(source_db.writer_dsn) as connection:
        connection.execute("DELETE FROM engagement_events")
    rebuild_days(settings, [DAY], "again", allow_removal=True)
    assert refresh_day(settings, HOURLY, DAY) == 0
    assert stored(settings, HOURLY, DAY) == []
    assert in_order(stored(settings, HOURLY, NEXT)) == in_order(before)


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_a_query_is_bigquery_s_and_gives_the_columns_of_its_table(mart: Mart) -> None:
    (query,) = sqlglot.parse(mart.query, read="bigquery")
    assert isinstance(query, sqlglot.exp.Query)
    assert query.named_selects == [column.name for column in table_of_mart(PACKAGED, mart, ENGAGEMENT_EVENTS).columns]


def test_the_code_version_is_that_of_the_formula() -> None:
    assert len({mart.code_version for mart in MARTS}) == len(MARTS)
    assert all("--" not in mart.query for mart in MARTS)


@pytest.mark.parametrize("mart", MARTS, ids=lambda mart: mart.name)
def test_a_sum_beyond_numeric_is_null_and_the_day_is_made_all_the_same(
    settings: Settings, source_db: SourceDatabase, mart: Mart
) -> None:
    with psycopg.connect(source_db.writer_dsn) as connection:
        connection.execute("ALTER TABLE engagement_events ALTER COLUMN duration_ms TYPE bigint")
        warehouse_events.write(connection, 2, DAY, duration_ms=2**63 - 1, device="wild")
        warehouse_events.write(connection, 2, DAY, duration_ms=-7, device="tame", event_type="click")
    rebuild_days(settings, [DAY], "run")
    refresh_day(settings, mart, DAY)
    sums = open_warehouse(settings).query(f"SELECT engagement_seconds FROM {mart.name} WHERE day = '{DAY}'").to_pylist()
    assert None in [row["engagement_seconds"] for row in sums]
    if mart is not DAILY_CONTENT:
        assert Decimal("-0.02") in [row["engagement_seconds"] for row in sums]
