"""Columns come, go and change while the stream runs: nothing is lost or doubled, and each message says what it has.

For the packaged stream and for one of another form. A deploy is another folder, read by the loops that begin after it.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters import streams
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.adapters.source import reader
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.domain.batches import Line, Rejected
from engagement_platform.domain.checkpoint import messages_of, schemas_of
from engagement_platform.domain.columns import Schema
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.loop_state import Activity
from engagement_platform.domain.messages import schema_header
from engagement_platform.domain.schema_history import NOTHING_KEPT
from engagement_platform.domain.table import Table
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.history.replay import replay
from engagement_platform.local.receiver import Receiver
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import STREAM, Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.forward import loop as forward
from engagement_platform.stream.numbering import history_of
from engagement_platform.stream.readers import Readers
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.faults.databases import shut
from engagement_platform_tests.stream.relay.sources import last_checkpoint, write_checkpoint
from engagement_platform_tests.streaming import drain, insert, read_all, running, wait_for
from engagement_platform_tests.streams import ORDERS, PACKAGED

Connection = psycopg.Connection[Any]

MAKE_ORDERS = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    order_no bigserial PRIMARY KEY, placed_at timestamptz NOT NULL DEFAULT now(), customer_id int DEFAULT 7,
    country text DEFAULT 'de', channel text DEFAULT 'web', cents int DEFAULT 100, price numeric(10,2) DEFAULT 1.50);
GRANT USAGE ON SCHEMA shop TO engagement_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO engagement_reader;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO engagement_reader
"""


@dataclass(frozen=True)
class Case:
    """A stream, and how rows come into its table."""

    stream: EventStream
    table: str
    write: Callable[[Connection, int], object]
    gone: str
    """A line of the statement that can be taken away."""

    def selecting(self, line: str) -> EventStream:
        """The stream with another folder: with one more line."""
        columns, _, tables = self.stream.enriched.partition("\n  FROM ")
        return replace(self.stream, enriched=f"{columns},\n       {line}\n  FROM {tables}")

    def without(self) -> EventStream:
        """The stream with another folder: with a line less."""
        assert self.gone in self.stream.enriched
        return replace(self.stream, enriched=self.stream.enriched.replace(self.gone, "", 1))

    @property
    def with_extra(self) -> EventStream:
        return self.selecting("event.extra")

    @property
    def with_all(self) -> EventStream:
        """The stream whose statement takes what the table has."""
        return replace(self.stream, enriched=f"SELECT * FROM {self.table} AS event", views=ORDERS.views)


def _order(connection: Connection, rows: int) -> None:
    connection.execute("INSERT INTO shop.orders (cents) SELECT 100 FROM generate_series(1, %s)", [rows])


PRICED = replace(
    ORDERS,
    enriched="SELECT event.order_no,\n       event.placed_at,\n       event.customer_id,\n       event.country,\n"
    "       event.cents,\n       event.price,\n       event.channel\n  FROM shop.orders AS event",
)
ENGAGED = Case(PACKAGED, "engagement_events", insert, "       event.event_type::text AS event_type,\n")
ORDERED = Case(PRICED, "shop.orders", _order, "       event.price,\n")


@pytest.fixture(params=[ENGAGED, ORDERED], ids=lambda case: case.stream.name)
def case(request: pytest.FixtureRequest) -> Case:
    of: Case = request.param
    return of


@pytest.fixture
def owner(source_db: SourceDatabase) -> Iterator[Connection]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        connection.execute(MAKE_ORDERS)
        yield connection


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[[EventStream], None]:
    """Let the loops that begin from now on read another folder. They look often whether a remedy was followed."""
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.1)

    def deployed(stream: EventStream) -> None:
        monkeypatch.setattr(streams, "streams", lambda: {STREAM: stream})

    return deployed


Deploy = Callable[[EventStream], None]


def gone(settings: Settings) -> Settings:
    """The settings of a process that does not reach the platform database."""
    return settings.replace(platform_dsn=SecretStr("postgresql://127.0.0.1:1/x"))


def published(settings: Settings, topic: str = "") -> list[tuple[int, int]]:
    """Each message's id and the number of its schema, by id; each has the columns of that schema, and no other."""
    found, records = [], read_all(settings, topic or settings.topics.events)
    history = history_of(settings)
    for record in records:
        value, number = json.loads(record.value), int(dict(record.headers)["schema-version"])
        assert tuple(value) == history.numbered[number].names
        found.append((value[history.numbered[number].id], number))
    return sorted(found)


def lines_of(settings: Settings, readers: Readers) -> list[dict[str, Any]]:
    """Return the lines of all messages as the stage makes them; each message has one."""
    lines = [readers.line_of(record) for record in read_all(settings, settings.topics.events)]
    assert not [line for line in lines if isinstance(line, Rejected)]
    return [json.loads(line.json) for line in lines if isinstance(line, Line)]


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def replayed(settings: Settings) -> object:
    return replay(settings, [1, 2])


def rebuilt(settings: Settings) -> object:
    return rebuild_days(settings, [datetime.now(UTC).date()], "run")


def state_of(control: Any) -> Activity:
    kind: Activity = control.progress.state.kind
    return kind


def test_a_column_comes_by_one_line_and_every_reader_takes_old_and_new_messages(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy
) -> None:
    deploy(case.stream)
    case.write(owner, 3)
    drain(relay.run, settings)
    readers = Readers(settings)
    assert "extra" not in readers.schema.names
    owner.execute(f"ALTER TABLE {case.table} ADD COLUMN extra text DEFAULT 'more'".encode())
    deploy(case.with_extra)
    case.write(owner, 2)
    with Receiver() as receiver:
        to = settings.replace(api_url=SecretStr(receiver.url))
        with running(forward.run, to) as forwarding:
            wait_for(lambda: forwarding.progress.events == 3, "what was there before")
            drain(relay.run, settings)
            wait_for(lambda: forwarding.progress.events == 5, "what came with more columns")
    assert published(settings) == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]
    lines = lines_of(settings, readers)
    number = case.stream.source.id
    assert {line[number]: line.get("extra") for line in lines} == {1: None, 2: None, 3: None, 4: "more", 5: "more"}
    assert not read_all(settings, settings.topics.dead_letters)


def test_a_column_goes_and_what_older_messages_have_of_it_stays(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy
) -> None:
    deploy(case.stream)
    case.write(owner, 2)
    drain(relay.run, settings)
    deploy(case.without())
    case.write(owner, 2)
    drain(relay.run, settings)
    assert published(settings) == [(1, 1), (2, 1), (3, 2), (4, 2)]
    readers = Readers(settings)
    name = {"engagement": "event_type", "orders": "price"}[case.stream.name]
    lines = lines_of(settings, readers)
    number = case.stream.source.id
    assert {line[number]: line[name] is None for line in lines} == {1: False, 2: False, 3: True, 4: True}


def test_a_formula_that_is_put_back_has_its_former_number(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy
) -> None:
    for stream in (case.stream, case.without(), case.stream):
        deploy(stream)
        case.write(owner, 1)
        drain(relay.run, settings)
    assert published(settings) == [(1, 1), (2, 2), (3, 1)]


CHANGES = {
    "another scale": ("ALTER extra TYPE numeric(12,4)", "ALTER extra TYPE numeric(10,2)", "numeric(12,4)"),
    "another type": (
        "ALTER extra TYPE text USING extra::text",
        "ALTER extra TYPE numeric(10,2) USING extra::numeric",
        "extra was numeric(10,2) (schema 1), and is text",
    ),
    "renamed": ("RENAME COLUMN extra TO other", "RENAME COLUMN other TO extra", "column event.extra does not exist"),
    "dropped": ("DROP COLUMN extra", "ADD COLUMN extra numeric(10,2)", "column event.extra does not exist"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_owner_changes_stops_the_stream_before_anything_of_it_is_published(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy, change: str
) -> None:
    altered, undone, said = CHANGES[change]
    owner.execute(f"ALTER TABLE {case.table} ADD COLUMN extra numeric(10,2) DEFAULT 1.5".encode())
    deploy(case.with_extra)
    case.write(owner, 1)
    with running(relay.run, settings) as control:
        wait_for(lambda: published(settings) == [(1, 1)], "the first event")
        owner.execute(f"ALTER TABLE {case.table} {altered}".encode())
        case.write(owner, 1)
        wait_for(lambda: state_of(control) is Activity.STOPPED, "the relay to stop")
        assert said in control.progress.state.reason
        assert control.progress.state.remedy
        assert published(settings) == [(1, 1)]
        owner.execute(f"ALTER TABLE {case.table} {undone}".encode())
        case.write(owner, 1)
        wait_for(lambda: published(settings) == [(1, 1), (2, 1), (3, 1)], "the relay to go on by itself")


@pytest.mark.parametrize("change", ["another scale", "another type", "renamed"])
def test_the_remedy_in_the_statement_lets_the_next_run_go_on(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy, change: str
) -> None:
    owner.execute(f"ALTER TABLE {case.table} ADD COLUMN extra numeric(10,2) DEFAULT 1.5".encode())
    deploy(case.with_extra)
    case.write(owner, 1)
    drain(relay.run, settings)
    owner.execute(f"ALTER TABLE {case.table} {CHANGES[change][0]}".encode())
    case.write(owner, 1)
    with pytest.raises(StreamStopped) as stopped:
        drain(relay.run, settings)
    if change == "renamed":
        deploy(case.selecting("event.other AS extra"))
    else:
        assert "extra::numeric(10,2) AS extra in enriched.sql" in stopped.value.todo
        deploy(case.selecting("event.extra::numeric(10,2) AS extra"))
    drain(relay.run, settings)
    assert published(settings) == [(1, 1), (2, 1)]
    if change != "renamed":
        deploy(case.selecting("event.extra AS extra_2"))
        case.write(owner, 1)
        drain(relay.run, settings)
        assert published(settings)[-1] == (3, 2)


def test_what_a_statement_takes_by_a_star_comes_with_its_number_and_stops_where_it_was_renamed(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    deploy(ORDERED.with_all)
    ORDERED.write(owner, 1)
    with running(relay.run, settings) as control:
        wait_for(lambda: published(settings) == [(1, 1)], "the first event")
        owner.execute("ALTER TABLE shop.orders ADD COLUMN coupon text DEFAULT 'ten'")
        ORDERED.write(owner, 1)
        wait_for(lambda: published(settings) == [(1, 1), (2, 2)], "the column that came")
        owner.execute("ALTER TABLE shop.orders DROP COLUMN coupon")
        ORDERED.write(owner, 1)
        wait_for(lambda: published(settings)[2:] == [(3, 1)], "the column that went")
        assert last_checkpoint(settings).schemas == 2, "the highest number that messages had"
        owner.execute("ALTER TABLE shop.orders ADD COLUMN coupon text DEFAULT 'ten'")
        ORDERED.write(owner, 1)
        wait_for(lambda: published(settings)[3:] == [(4, 2)], "the column that came back")
        owner.execute("ALTER TABLE shop.orders RENAME COLUMN coupon TO voucher")
        ORDERED.write(owner, 1)
        wait_for(lambda: state_of(control) is Activity.STOPPED, "the relay to stop")
        assert "coupon (text) is gone, and voucher of the same type has come" in control.progress.state.reason
        owner.execute("ALTER TABLE shop.orders RENAME COLUMN voucher TO coupon")
        wait_for(lambda: published(settings)[4:] == [(5, 2)], "the relay to go on by itself")
        owner.execute("ALTER TABLE shop.orders DROP COLUMN coupon")
        ORDERED.write(owner, 1)
        wait_for(lambda: published(settings)[5:] == [(6, 1)], "the column that went")
        owner.execute("ALTER TABLE shop.orders ADD COLUMN note text")
        ORDERED.write(owner, 1)
        wait_for(lambda: published(settings)[6:] == [(7, 3)], "another column, which is not the one that went")
        owner.execute("ALTER TABLE shop.orders DROP COLUMN country")
        ORDERED.write(owner, 1)
        wait_for(lambda: state_of(control) is Activity.STOPPED, "the relay to stop")
        assert "enriched.sql has no column country" in control.progress.state.reason


def test_each_message_has_the_columns_of_its_number_whenever_the_owner_changes_them(
    settings: Settings, owner: Connection, source_db: SourceDatabase, deploy: Deploy
) -> None:
    """Columns come and go in the middle of reads: each read is known to be of one schema."""
    deploy(ORDERED.with_all)
    drain(relay.run, settings)
    ended = threading.Event()

    def write() -> None:
        with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
            while not ended.is_set():
                _order(connection, 5)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with running(relay.run, settings) as control:
            for number in range(12):
                name = f"c{number % 3}"
                owner.execute(f"ALTER TABLE shop.orders DROP COLUMN IF EXISTS {name}".encode())
                owner.execute(f"ALTER TABLE shop.orders ADD COLUMN {name} int DEFAULT {number}".encode())
                (before,) = owner.execute("SELECT count(*) FROM shop.orders").fetchone() or (0,)
                wait_for(lambda before=before: control.progress.events > before, "events of the new columns")  # type: ignore[misc]
    finally:
        ended.set()
        writing.join()
    drain(relay.run, settings)
    (rows,) = owner.execute("SELECT count(*) FROM shop.orders").fetchone() or (0,)
    assert [number for number, _ in published(settings)] == list(range(1, rows + 1))
    assert len({schema for _, schema in published(settings)}) > 3


def test_without_the_platform_database_the_stream_stands_still_only_for_a_new_schema(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy
) -> None:
    deploy(case.stream)
    case.write(owner, 1)
    drain(relay.run, settings)
    away = gone(settings)
    case.write(owner, 1)
    drain(relay.run, away)
    assert published(settings) == [(1, 1), (2, 1)]
    deploy(case.without())
    case.write(owner, 1)
    with running(relay.run, away) as control:
        wait_for(lambda: state_of(control) is Activity.WAITS, "the relay to wait")
        assert published(settings) == [(1, 1), (2, 1)]
    drain(relay.run, settings)
    assert published(settings) == [(1, 1), (2, 1), (3, 2)]


def test_without_the_platform_database_readers_ask_the_checkpoint_and_wait_only_for_what_that_has_not(
    settings: Settings, owner: Connection, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(ORDERED.stream)
    ORDERED.write(owner, 1)
    drain(relay.run, settings)
    readers = Readers(settings)
    assert readers.schema.names == history_of(settings).numbered[1].names
    deploy(ORDERED.without())
    ORDERED.write(owner, 1)
    drain(relay.run, settings)
    deploy(ORDERED.selecting("1 AS extra"))
    assert replay(settings, [1]) == 1, "its number is kept, and the relay has not come to it"
    with monkeypatch.context() as away:
        away.setattr(readers, "_settings", gone(settings))
        assert not readers.meet([schema_header(1)])
        assert not readers.meet([schema_header(2)]), "the checkpoint has it"
        with pytest.raises(Unavailable):
            readers.meet([schema_header(3)])
    assert readers.meet([schema_header(3)])


def test_a_number_that_the_relay_never_gave_is_of_another_program(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    deploy(ORDERED.stream)
    ORDERED.write(owner, 1)
    drain(relay.run, settings)
    readers = Readers(settings)
    for value in (b"7", b"", b"x", b"-1", b"9" * 40, "٣".encode()):
        assert not readers.meet([("schema-version", value)])
    deploy(ORDERED.selecting("1 AS extra"))
    assert not readers.meet([schema_header(2)])
    drain(relay.run, settings)
    assert readers.meet([schema_header(2)]), "now it is the relay's"
    assert "extra" in readers.schema.names
    record = read_all(settings, settings.topics.events)[0]
    send_all(settings.kafka, [Message(settings.topics.events, record.key, record.value, (("schema-version", b"7"),))])
    assert [line["order_no"] for line in lines_of(settings, readers)] == [1, 1]


def test_a_reader_forgets_no_column_that_the_platform_database_has_lost(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    for stream in (ORDERED.stream, ORDERED.selecting("1 AS extra")):
        deploy(stream)
        ORDERED.write(owner, 1)
        drain(relay.run, settings)
    readers = Readers(settings)
    assert "extra" in readers.schema.names
    with Schemas.opened(settings, "test") as store:
        store.session.execute("DELETE FROM engagement_platform.stream_schema WHERE number > 1")
    readers.refresh()
    assert [line.get("extra") for line in lines_of(settings, readers)] == [None, 1]
    assert "extra" not in _names(table_now(settings))
    assert "extra" in _names(table_now(settings, known=readers.schema))


@pytest.mark.parametrize("number", [replayed, rebuilt])
def test_whoever_numbers_a_schema_after_all_was_lost_gives_it_the_number_that_messages_have(
    settings: Settings, owner: Connection, deploy: Deploy, number: Callable[[Settings], object]
) -> None:
    for stream in (ORDERED.stream, ORDERED.without()):
        deploy(stream)
        ORDERED.write(owner, 1)
        drain(relay.run, settings)
    with Schemas.opened(settings, "test") as store:
        store.session.execute("DELETE FROM engagement_platform.stream_schema")
    number(settings)
    assert list(history_of(settings).numbered) == [1, 2]


def test_a_schema_that_readers_could_not_follow_is_not_entered_by_any_of_several_relays(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    """Two versions of the statement, of which each would be taken alone."""
    deploy(ORDERED.stream)
    drain(relay.run, settings)
    deploy(ORDERED.selecting("1 AS extra"))
    drain(relay.run, settings)
    deploy(ORDERED.selecting("'1'::text AS extra"))
    with pytest.raises(StreamStopped, match="extra was integer \\(schema 2\\), and is text"):
        drain(relay.run, settings)
    assert history_of(settings).highest == 2


def test_a_run_of_before_that_still_publishes_says_what_its_messages_have(
    settings: Settings, owner: Connection, case: Case, deploy: Deploy
) -> None:
    """The new run has entered its schema and has not fenced the other one yet; then it does."""
    deploy(case.stream)
    case.write(owner, 1)
    with running(relay.run, settings) as before:
        wait_for(lambda: published(settings) == [(1, 1)], "the first event")
        deploy(case.without())
        with reader.open_source(origin_of(settings)) as source, Schemas.opened(settings, "test") as store:
            assert store.note(source.schema) == 2
        case.write(owner, 1)
        wait_for(lambda: published(settings) == [(1, 1), (2, 1)], "the run of before to go on")
        before.owns_lease = lambda: False  # type: ignore[method-assign]
        case.write(owner, 1)
        drain(relay.run, settings)
    numbers = dict(published(settings))
    assert list(numbers) == [1, 2, 3]
    assert numbers[3] in {1, 2}
    case.write(owner, 1)
    drain(relay.run, settings)
    assert published(settings)[-1] == (4, 2)


def test_what_is_replayed_says_what_it_has(settings: Settings, owner: Connection, case: Case, deploy: Deploy) -> None:
    deploy(case.stream)
    case.write(owner, 2)
    drain(relay.run, settings)
    deploy(case.without())
    assert replay(settings, [1, 2]) == 2
    assert published(settings, settings.topics.replays) == [(1, 2), (2, 2)]


LOSSES = {
    "all rows": "DELETE FROM engagement_platform.stream_schema",
    "some rows": "DELETE FROM engagement_platform.stream_schema WHERE number < 3",
    "the newest rows": "DELETE FROM engagement_platform.stream_schema WHERE number > 1",
    "all tables": "DROP SCHEMA engagement_platform CASCADE",
}


def relayed(settings: Settings) -> object:
    return drain(relay.run, settings)


def met(settings: Settings) -> object:
    readers = Readers(settings)
    for number in (1, 2, 3):
        readers.meet([schema_header(number)])
    return readers.history


def three_schemas(settings: Settings, owner: Connection, deploy: Deploy) -> dict[int, Schema]:
    for stream in (ORDERED.stream, ORDERED.selecting("1 AS extra"), ORDERED.without()):
        deploy(stream)
        ORDERED.write(owner, 1)
        drain(relay.run, settings)
    return dict(history_of(settings).numbered)


def lose(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.platform.dsn.get_secret_value(), autocommit=True) as platform:
        platform.execute(statement.encode())


@pytest.mark.parametrize(
    ("ask", "loss"),
    [
        *((relayed, loss) for loss in LOSSES),
        (met, "all rows"),
        (met, "the newest rows"),
        (replayed, "all rows"),
        (rebuilt, "all tables"),
    ],
)
def test_schemas_that_the_platform_database_has_lost_come_back_by_whoever_asks_for_them(
    settings: Settings, owner: Connection, deploy: Deploy, ask: Callable[[Settings], object], loss: str
) -> None:
    before = three_schemas(settings, owner, deploy)
    assert list(before) == [1, 2, 3]
    lose(settings, LOSSES[loss])
    ask(settings)
    assert history_of(settings).numbered == before
    assert [line.get("extra") for line in lines_of(settings, Readers(settings))] == [None, 1, None]


def test_a_relay_that_runs_puts_back_what_an_earlier_copy_of_the_database_has_not(
    settings: Settings, owner: Connection, deploy: Deploy, stack: Endpoints
) -> None:
    before = three_schemas(settings, owner, deploy)
    with running(relay.run, settings) as control:
        ORDERED.write(owner, 1)
        wait_for(lambda: control.progress.events == 1, "the relay to run")
        lose(settings, LOSSES["all rows"])
        with shut(settings, stack):
            ORDERED.write(owner, 1)
            wait_for(lambda: control.progress.events == 2, "the relay to go on")
        ORDERED.write(owner, 1)
        with Schemas.opened(settings, "test") as store:
            wait_for(lambda: store.all() == before, "the schemas")


def test_a_type_that_only_lost_schemas_had_is_still_refused(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    three_schemas(settings, owner, deploy)
    lose(settings, LOSSES["all rows"])
    deploy(ORDERED.selecting("'1'::text AS extra"))
    with pytest.raises(StreamStopped, match="extra was integer \\(schema 2\\), and is text"):
        drain(relay.run, settings)


def test_a_statement_that_is_put_back_needs_no_platform_database(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    three_schemas(settings, owner, deploy)
    deploy(ORDERED.stream)
    ORDERED.write(owner, 1)
    drain(relay.run, gone(settings))
    assert published(settings)[-1] == (4, 1)


def test_a_checkpoint_of_an_older_version_gets_the_schemas_that_the_platform_database_has(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    before = three_schemas(settings, owner, deploy)
    write_checkpoint(settings, schema_history=NOTHING_KEPT)
    drain(relay.run, settings)
    assert schemas_of(messages_of(last_checkpoint(settings))) == before


def test_what_no_checkpoint_has_kept_stops_a_reader_until_the_relay_has_entered_its_schema(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    """Lost before the program was brought up to date: the checkpoint tells only the schema of now."""
    before = three_schemas(settings, owner, deploy)
    write_checkpoint(settings, schema_history=NOTHING_KEPT)
    lose(settings, LOSSES["the newest rows"])
    readers = Readers(settings)
    with pytest.raises(StreamStopped, match="Messages have the schema 3, which the platform database does not know"):
        readers.meet([schema_header(3)])
    drain(relay.run, settings)
    assert not readers.meet([schema_header(3)])
    assert history_of(settings).numbered == {1: before[1], 3: before[3]}


def test_a_forward_that_begins_without_the_platform_database_takes_the_columns_from_the_checkpoint(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    deploy(ORDERED.stream)
    with Receiver() as receiver:
        to = settings.replace(api_url=SecretStr(receiver.url))
        for rows in (2, 1):
            ORDERED.write(owner, rows)
            drain(relay.run, settings)
            drain(forward.run, to if rows == 2 else gone(to))
        assert len(receiver.deliveries) == 3


def test_a_stage_that_knows_more_than_the_platform_database_loads_every_column(
    settings: Settings, owner: Connection, deploy: Deploy
) -> None:
    """Its own history and what is asked are joined: none forgets what only the other has."""
    for stream in (ORDERED.stream, ORDERED.selecting("event.cents + 1 AS extra")):
        deploy(stream)
        ORDERED.write(owner, 1)
        drain(relay.run, settings)
    with running(stage.run, settings) as control:
        wait_for(lambda: control.progress.events == 2, "both forms in the table")
        lose(settings, LOSSES["the newest rows"])
        write_checkpoint(settings, schema_history=NOTHING_KEPT, schemas=0)
        record = read_all(settings, settings.topics.events)[1]
        again = record.value.replace(b'"order_no":2', b'"order_no":7')
        send_all(settings.kafka, [Message(settings.topics.events, record.key, again, tuple(record.headers))])
        wait_for(lambda: control.progress.events == 3, "the message of a number that was lost")
    ever = "placed_at >= TIMESTAMP '2000-01-01 00:00:00+00'"
    found = open_warehouse(settings).query(f"SELECT order_no, extra FROM orders WHERE {ever}")
    assert {row["order_no"]: row["extra"] for row in found.to_pylist()} == {1: None, 2: 101, 7: 101}
