"""What Debezium publishes by the files of deploy/debezium, on Kafka Connect: the relay's messages, each once.

By a worker that publishes at least once some come again, and each sink has them once nevertheless.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.redis.views import Views
from engagement_platform.adapters.streams import stream_of
from engagement_platform.local import state
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform.stream.tally import loop as tally
from engagement_platform_tests.bench.peers import connect
from engagement_platform_tests.bench.peers.command import servers
from engagement_platform_tests.bench.peers.harness import Bench
from engagement_platform_tests.bench.peers.programs import Program, program
from engagement_platform_tests.bench.place import Place, own_place
from engagement_platform_tests.conftest import make_settings, make_source
from engagement_platform_tests.integration.dagster_dev import ROOT
from engagement_platform_tests.streaming import drain, read_all, wait_for
from engagement_platform_tests.warehouse import source_ids, table_ids

FILES = ROOT / "deploy" / "debezium"
PATIENCE = 240.0
EVENTS = """
INSERT INTO engagement_events (content_id, user_id, event_type, event_ts, duration_ms, device, raw_payload)
SELECT CASE WHEN n %% 7 > 0 THEN (SELECT id FROM content ORDER BY slug OFFSET n %% 40 LIMIT 1) END,
       gen_random_uuid(), (ARRAY['play', 'pause', 'finish', 'click'])[1 + n %% 4], now() - n * interval '0.1 seconds',
       nullif(n * 977 %% 90000, 0), (ARRAY['ios', 'a "quoted" device', 'watch 🕶️', NULL])[1 + n %% 4],
       CASE WHEN n %% 3 > 0 THEN jsonb_build_object('at', n, 'nested', jsonb_build_array(1.50, 'é', NULL)) END
  FROM generate_series(1, %s) AS n
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with servers() as made:
        yield made


@pytest.fixture
def place(bench: Bench) -> Iterator[Place]:
    with own_place(bench.endpoints, start="earliest") as made:
        yield made


@contextmanager
def debezium(bench: Bench, place: Place, *, exactly_once: bool = True) -> Iterator[Program]:
    """Run a worker of Kafka Connect with the connector until it reads its slot, and end it with the block."""
    port, name = state.choose_port(None, None), place.settings.topics.events
    file = bench.folder / f"{name}.properties"
    bench.folder.mkdir(parents=True, exist_ok=True)
    support = {} if exactly_once else {"exactly.once.source.support": "disabled"}
    properties = {**connect.worker(bench, name, port, exactly_once=True), **support}
    file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    command: list[str | Path] = [connect.java(), *connect.JAVA_OPTIONS, "-cp", connect.class_path(), main, file]
    with program("connect", command, bench.folder) as running:
        rest = f"http://127.0.0.1:{port}"
        wait_for(lambda: running.require() and connect.answers(rest), "Kafka Connect", PATIENCE)
        connect.create(rest, connector(place, exactly_once=exactly_once))
        wait_for(lambda: running.require() and connect.streams(rest, place, running), "the connector", PATIENCE)
        yield running


def connector(place: Place, *, exactly_once: bool) -> dict[str, object]:
    """Return the connector of deploy/debezium with this source in place of that one."""
    support = {} if exactly_once else {"exactly.once.support": "requested"}
    source = psycopg.conninfo.conninfo_to_dict(place.source.admin_dsn)
    own = {
        "database.hostname": source["host"],
        "database.port": source["port"],
        "database.user": source["user"],
        "database.password": source.get("password", ""),
        "database.dbname": source["dbname"],
        # Its own remedy for a log that grows while nobody writes to the outbox: they pass by all that is made of rows.
        "heartbeat.interval.ms": 200,
        "topic.creation.default.replication.factor": 1,
        "topic.creation.default.partitions": 1,
    }
    connector: dict[str, object] = json.loads((FILES / "connector.json").read_text())
    return connector | own | support


def make_outbox(place: Place) -> None:
    text = (FILES / "outbox.sql").read_text()
    assert "'engagement-events'" in text
    with psycopg.connect(place.source.admin_dsn) as owner:
        owner.execute(text.replace("'engagement-events'", f"'{place.settings.topics.events}'").encode())


def write(place: Place, n: int) -> None:
    """Write events as the application, which has no rights on the outbox, one transaction in three rolled back."""
    with psycopg.connect(place.source.writer_dsn) as connection:
        for size, is_kept in ((n // 2, True), (n // 4, False), (n - n // 2, True)):
            connection.execute(EVENTS, [size])
            (connection.commit if is_kept else connection.rollback)()


def messages(settings: Settings) -> Counter[tuple[bytes | None, bytes]]:
    return Counter((record.key, record.value) for record in read_all(settings, settings.topics.events))


def test_the_outbox_has_the_statement_of_the_stream() -> None:
    stream = stream_of(Settings.of(source_dsn="postgresql://unused", platform_dsn="postgresql://unused"))
    statement = stream.enriched[stream.enriched.index("SELECT") :].strip()
    assert statement in (FILES / "outbox.sql").read_text()


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_messages_are_the_relays_each_once_though_it_is_killed_and_every_loop_takes_them(
    bench: Bench, place: Place
) -> None:
    make_outbox(place)
    ensure_topics(place.settings)
    with debezium(bench, place) as worker:
        write(place, 400)
        wait_for(lambda: messages(place.settings).total() >= 200, "messages of Debezium", PATIENCE)
        psutil.Process(worker.pid).kill()
    write(place, 400)
    with debezium(bench, place):
        write(place, 400)
        wait_for(lambda: messages(place.settings).total() >= 1200, "messages of Debezium", PATIENCE)
    connect.drop_slot(place)
    assert messages(place.settings) == messages(of_the_relay(bench, place))
    each_loop_takes_them(place)


@pytest.mark.whole
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_a_worker_publishes_twice_when_it_was_killed_each_sink_has_once(bench: Bench, place: Place) -> None:
    """It begins again at what it had noted a minute before, or at its slot's place: all so far comes again."""
    make_outbox(place)
    ensure_topics(place.settings)
    with debezium(bench, place, exactly_once=False) as worker:
        write(place, 400)
        wait_for(lambda: messages(place.settings).total() >= 400, "messages of Debezium", PATIENCE)
        drain(tally.run, place.settings)
        drain(stage.run, place.settings)
        write_beside_each_other(place)
        wait_for(lambda: messages(place.settings).total() >= 440, "messages of Debezium", PATIENCE)
        psutil.Process(worker.pid).kill()
    write(place, 400)
    with debezium(bench, place, exactly_once=False):
        wait_for(lambda: len(messages(place.settings)) >= 840, "messages of Debezium", PATIENCE)
    connect.drop_slot(place)
    assert messages(place.settings).total() > 840, "nothing came again"
    each_loop_takes_them(place)


def write_beside_each_other(place: Place) -> None:
    """Write in transactions of which the first to begin is the last to be committed."""
    with ExitStack() as stack:
        open_ones = [stack.enter_context(psycopg.connect(place.source.writer_dsn)) for _ in range(4)]
        for size in (3, 7):
            for connection in open_ones:
                connection.execute(EVENTS, [size])
        for connection in reversed(open_ones):
            connection.commit()


def of_the_relay(bench: Bench, place: Place) -> Settings:
    """Publish the same source by the relay, to a topic of its own; return the settings of that."""
    platform = make_source(bench.endpoints)[1]
    settings = make_settings(bench.endpoints, place.source.dsn, platform.writer_dsn, state_dir=place.settings.state_dir)
    ensure_schema(settings)
    ensure_topics(settings)
    drain(relay.run, settings)
    return settings


def each_loop_takes_them(place: Place) -> None:
    ids = source_ids(place.source)
    with Receiver() as partner:
        settings = place.settings.replace(api_url=partner.url)
        drain(tally.run, settings)
        drain(forward.run, settings)
        drain(stage.run, settings)
    assert Views.connect(place.settings).totals().count == len(ids)
    assert sorted(one.event_id for one in partner.deliveries if one.event_id is not None) == ids
    assert table_ids(place.settings) == ids
