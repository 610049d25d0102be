"""`dagster dev` with the partitions divided among runs: one, then three, then two, under load and with kills.

The number is changed as docs/operating.md says: the setting, and `dagster dev` again.
"""

import json
import random
import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import redis

from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.domain.leases import alive
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.health.read import status_in
from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.integration.dagster_dev import (
    PATIENCE,
    ROOT,
    dagster_dev,
    environment,
    kill,
    started_processes,
)
from engagement_platform_tests.integration.writing import beside
from engagement_platform_tests.streaming import insert, read_all, wait_for
from engagement_platform_tests.warehouse import source_ids, table_ids

pytestmark = [pytest.mark.whole, pytest.mark.slow, pytest.mark.timeout(1500)]

STARTS_SECONDS = 600.0
"""Three runs start beside each other, with all of Dagster before them."""
CONTENTS = (
    "INSERT INTO content (id, slug, title, content_type, publish_ts) "
    "SELECT gen_random_uuid(), 'content-' || n, 'Content', 'video', now() FROM generate_series(1, 40) AS n RETURNING id"
)
COUNTED_SINCE = (
    "SELECT content_id::text, count(*) FROM engagement_events "
    "WHERE floor(extract(epoch FROM event_ts) / 10) * 10000 >= %s GROUP BY 1"
)


@pytest.fixture
def source(own_stack: Endpoints) -> SourceDatabase:
    return make_source(own_stack)[1]


@pytest.fixture
def own_settings(own_stack: Endpoints, own_stack_folder: Path, source: SourceDatabase) -> Settings:
    settings = make_settings(
        own_stack,
        source.dsn,
        own_stack.platform_dsn,
        lease_seconds=600,
        first_day=datetime.now(UTC).date() - timedelta(days=1),
        stage_seconds=3.0,
        state_dir=own_stack_folder,
        warehouse_uri=str(own_stack_folder / "warehouse"),
    )
    ensure_schema(settings)
    return settings


def write_on(source: SourceDatabase, stop: threading.Event) -> None:
    """Writes some hundred events a second of forty contents, some in transactions that end late or never."""
    chance = random.Random(7)
    with psycopg.connect(source.admin_dsn) as quick, psycopg.connect(source.admin_dsn) as late:
        contents = [str(row[0]) for row in quick.execute(CONTENTS).fetchall()]
        quick.commit()
        while not stop.wait(0.2):
            for content in chance.sample(contents, 10):
                insert(quick, 2, content)
            insert(late, 2, chance.choice(contents))
            quick.commit()
            if chance.random() < 0.2:
                (late.rollback if chance.random() < 0.3 else late.commit)()
        late.commit()


def runs_of(settings: Settings, number: int) -> dict[int, str]:
    """Return shard -> the run that has it, once each of so many has one that lives."""
    runs: dict[int, str] = {}
    for shard in range(number):
        try:
            with Leases.opened(settings, "test", shard) as leases:
                snapshot = leases.snapshot()
        except Unavailable:  # a busy machine lets a connection wait for too long
            return {}
        if snapshot.lease is None or snapshot.lease.shards != number or not alive(snapshot):
            return {}
        runs[shard] = snapshot.lease.run_id
    return runs


def kill_run(run_id: str) -> None:
    """Kill the worker of a run with all its loops."""
    with dg.DagsterInstance.get() as instance:
        workers = started_processes(instance, run_id, "Started process for run")
    assert workers
    kill([*(child for worker in workers for child in worker.children(recursive=True)), *workers])


def said_to_be_left(session: Session, settings: Settings) -> set[str]:
    """Return the shards that `status` and page say nobody has."""
    try:
        status = status_in(settings, session, LetterCounts())
    except Unavailable:
        return set()
    return {one.subject for one in status.conditions if one.kind == "nobody_streams"}


def replaced(settings: Settings, killed: int, number: int) -> dict[int, str]:
    """Kill the run of a shard, and wait until another has it; return shard -> run."""
    before = runs_of(settings, number)
    kill_run(before[killed])
    said: set[str] = set()
    with Session(settings, "test") as session:

        def is_replaced() -> dict[int, str]:
            said.update(said_to_be_left(session, settings))
            after = runs_of(settings, number)
            return after if after and after[killed] != before[killed] else {}

        after = wait_for(is_replaced, f"shard {killed} to have another run", PATIENCE)
    assert said == {f"shard {killed}"}
    return dict(after)


def passes(settings: Settings, source: SourceDatabase) -> None:
    """Wait until what is in the source now is in the topic and in the warehouse."""
    written = len(source_ids(source))
    wait_for(lambda: len(read_all(settings, settings.topics.events)) >= written, "the topic", PATIENCE)
    wait_for(lambda: len(quietly_staged(settings)) >= written, "the warehouse", PATIENCE)


def quietly_staged(settings: Settings) -> list[int]:
    try:
        return table_ids(settings)
    except EngagementError:  # it is not there yet
        return []


def counted(settings: Settings) -> tuple[dict[str, int], int]:
    """Return what the views count by content, and when their window begins, in milliseconds; as of one moment."""
    space = f"{{{settings.redis.namespace}}}"
    with redis.Redis.from_url(settings.redis.url.get_secret_value(), decode_responses=True) as client:
        pipe = client.pipeline(transaction=True)
        pipe.zrange(f"{space}:view:content:count", 0, -1, withscores=True)
        pipe.hget(f"{space}:meta", "window_start")
        scores, start = pipe.execute()
    return {member: int(score) for member, score in scores}, int(start)


def expected(source: SourceDatabase, start: int) -> dict[str, int]:
    with psycopg.connect(source.admin_dsn) as connection:
        return dict(connection.execute(COUNTED_SINCE, [start]).fetchall())


def test_the_number_of_runs_changes_under_load_and_nothing_is_lost_or_doubled(
    own_stack: Endpoints,
    own_stack_folder: Path,
    own_settings: Settings,
    source: SourceDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    with Receiver() as partner, ExitStack() as writing:
        variables = environment(own_stack, own_stack_folder, own_settings.replace(api_url=partner.url))
        for name, value in variables.items():
            if name.startswith(("ENGAGEMENT_", "DAGSTER_")):
                monkeypatch.setenv(name, value)
        writing.enter_context(beside(partial(write_on, source)))
        for number, killed in ((1, None), (3, 2), (2, 0)):
            with dagster_dev(own_stack_folder, {**variables, "ENGAGEMENT_CONSUMER_SHARDS": str(number)}):
                wait_for(partial(runs_of, own_settings, number), f"{number} runs", STARTS_SECONDS)
                passes(own_settings, source)
                if killed is not None:
                    others_go_on_while_one_is_replaced(own_settings, killed, number)
                if number == 2:
                    writing.close()
                    each_sink_has_each_event_once(own_settings, source, partner)


def others_go_on_while_one_is_replaced(settings: Settings, killed: int, number: int) -> None:
    before = runs_of(settings, number)
    after = replaced(settings, killed, number)
    assert {shard for shard in before if before[shard] != after[shard]} == {killed}


def each_sink_has_each_event_once(settings: Settings, source: SourceDatabase, partner: Receiver) -> None:
    ids = source_ids(source)
    wait_for(lambda: len(published(settings)) >= len(ids), "the topic", PATIENCE)
    assert published(settings) == ids
    wait_for(lambda: len(table_ids(settings)) >= len(ids), "the warehouse", PATIENCE)
    assert table_ids(settings) == ids
    wait_for(lambda: (seen := counted(settings))[0] == expected(source, seen[1]), "the views", PATIENCE)
    wait_for(lambda: {one.event_id for one in partner.deliveries} == set(ids), "the partner", PATIENCE)


def published(settings: Settings) -> list[int]:
    return sorted(json.loads(record.value)["id"] for record in read_all(settings, settings.topics.events))
