"""Faults that take data away: the topic is deleted or expires, the platform's database is gone. Commands heal them."""

import re
import shutil
import time
from contextlib import closing, suppress
from random import Random

import psycopg
import redis
from psycopg import sql

from engagement_platform.local.postgres import PLATFORM
from engagement_platform_tests.chaos import readers
from engagement_platform_tests.chaos.fault import Fault
from engagement_platform_tests.chaos.run import read_up_to
from engagement_platform_tests.chaos.sources import PATIENCE, remedied
from engagement_platform_tests.chaos.system import START_SECONDS, System
from engagement_platform_tests.streaming import wait_for

_BACKFILL = re.compile(r"engagement-platform (backfill --to api --since [0-9T:+Z.-]*[0-9Z])")
_SLOWEST = ("stage", "forward")


def _deleted(system: System, luck: Random) -> None:
    """Delete the topic of events, and do for each sink what its status says."""
    from confluent_kafka.admin import AdminClient

    topic, client = system.settings.topics.events, AdminClient({"bootstrap.servers": system.addresses()["kafka"]})
    for future in client.delete_topics([topic]).values():
        future.result(30)
    wait_for(lambda: topic not in client.list_topics(timeout=10).topics, "the topic to be gone")
    system.lose_topic()
    remedied(system, "views rebuild")
    remedied(system, "warehouse restart")
    _forward_goes_on(system, system.watch.lost_at)


def _forward_goes_on(system: System, lost_at: float) -> None:
    """Let forward begin anew, and read from the source what it and the warehouse have missed."""
    said = remedied(system, "forward restart --at earliest")
    for command in _BACKFILL.findall(said)[:1]:
        system.type(command)
    system.type(" ".join(system.backfill_of_today()))
    with suppress(AssertionError):
        wait_for(lambda: system.watch.flowed_since(system.healed_at or 0), "events", PATIENCE)
    system.spare_order_since(lost_at - 30)
    system.healed()


def _expired(system: System, luck: Random) -> None:
    """Let messages expire that the warehouse and the partner have not got yet, as when both were away for a week."""
    began = time.time()
    for loop in _SLOWEST:
        system.command("pause", loop)
    time.sleep(luck.uniform(3, 6))
    system.watch.expire(_delete_counted(system))
    for loop in _SLOWEST:
        system.command("resume", loop)
    _forward_goes_on(system, began)


def _platform_lost(system: System, luck: Random) -> None:
    """Lose the platform's database, and do what docs/operating.md says: the tables go with it."""
    system.dagster.stop()
    with psycopg.connect(system.addresses()["platform_admin"], autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(PLATFORM)))
    system.servers.all["platform"].start()  # which makes the database, as at first
    away = system.folder / f"tables before {time.time():.0f}"
    away.mkdir()
    for table in (system.folder / "tables").iterdir():
        shutil.move(table, away)
    system.watch.lose_table()
    system.dagster.start(system.variables)
    began = time.time()
    wait_for(lambda: system.watch.flowed_since(began), "events", START_SECONDS)
    system.type(" ".join(system.backfill_of_today()))
    system.healed()


def _delete_counted(system: System) -> dict[int, int]:
    """Delete all messages that the views have counted; return the offset by partition with which the topic begins."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    where, client = system.watch.where, AdminClient({"bootstrap.servers": system.addresses()["kafka"]})
    with closing(redis.Redis.from_url(where.redis_url, decode_responses=True)) as views:
        ends = wait_for(lambda: readers.views(views, where.namespace), "views", PATIENCE).offsets
    wait_for(lambda: read_up_to(system, ends), "the checker to have read what expires", PATIENCE)
    gone = [TopicPartition(where.topic, partition, offset) for partition, offset in ends.items()]
    for future in client.delete_records(gone).values():
        future.result(30)
    return dict(ends)


_BUDGETS = {"kafka": 60.0, "redis": 60.0, "warehouse": 90.0, "partner": 90.0}

FAULTS: tuple[Fault, ...] = (
    Fault("delete the topic", "the topic of events is deleted", "the commands that the status prints", _deleted, 120.0,
          _BUDGETS, "healed", once=True, needs="Dagster"),
    Fault("expire the topic", "messages expire that neither warehouse nor partner has got",
          "the commands that the status prints", _expired, 120.0, {"warehouse": 90.0, "partner": 90.0}, "healed",
          once=True, needs="Dagster"),
    Fault("lose the platform", "Dagster is stopped, the platform's database dropped, the tables moved away",
          "Dagster is started, and a backfill of today", _platform_lost, 120.0, since="healed",
          needs="Dagster"),
)  # fmt: skip
