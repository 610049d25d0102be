import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from kafka import KafkaProducer
from psycopg.types.json import Jsonb

from engagement_platform.adapters.kafka.checkpoints import key, open_checkpoints
from engagement_platform.adapters.kafka.kafka_python.connection import options
from engagement_platform.adapters.kafka.producer import Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform import migrate, mirror
from engagement_platform.adapters.source import reader, session
from engagement_platform.adapters.source.rows import Limits
from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.domain.errors import Refused, StreamStopped, Unavailable
from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.loop_state import Activity
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase, origin
from engagement_platform_tests.streaming import drain, insert, read_all, running, wait_for
from engagement_platform_tests.streams import ENGAGEMENT, decode


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


def another(source_db: SourceDatabase) -> psycopg.Connection[Any]:
    return psycopg.connect(source_db.writer_dsn)


def published(settings: Settings) -> list[int]:
    return sorted(json.loads(record.value)["id"] for record in read_all(settings, settings.topics.events))


def events(settings: Settings) -> dict[int, Any]:
    found = [decode(record.value) for record in read_all(settings, settings.topics.events)]
    return {event.id: event for event in found}


def dead_letters(settings: Settings) -> dict[int, str]:
    return {number: letter["reason"] for number, letter in letters(settings).items()}


def letters(settings: Settings) -> dict[int, Any]:
    found = [json.loads(record.value) for record in read_all(settings, settings.topics.dead_letters)]
    return {letter["event_id"]: letter for letter in found}


def last_checkpoint(settings: Settings) -> Checkpoint:
    with open_checkpoints(settings) as topic:
        found = topic.last()
    assert found is not None
    return found


def write_checkpoint(settings: Settings, **changes: object) -> None:
    value = checkpoints.to_bytes(msgspec.structs.replace(last_checkpoint(settings), **changes))
    with open_producer(settings, 1_000_000) as producer:
        producer.fence()
        producer.commit([Message(settings.topics.checkpoint, key(settings), value)])


def test_every_committed_event_is_published_once_with_its_content(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    content = "7b0a1f6e-0000-4000-8000-000000000001"
    writer.execute("INSERT INTO content VALUES (%s, 'أخبار', 'نشرة الصباح 🎧', 'podcast', 240, now())", [content])
    writer.execute(
        "INSERT INTO engagement_events (content_id, event_type, event_ts, duration_ms, device, raw_payload) "
        "VALUES (%s, 'finish', '2026-05-01 12:00:00.123456+02', 60005, 'آيفون', '\"scalar\"')",
        [content],
    )
    insert(writer, 2)
    drain(relay.run, settings)
    drain(relay.run, settings)
    assert published(settings) == [1, 2, 3]
    record = next(r for r in read_all(settings, settings.topics.events) if json.loads(r.value)["id"] == 1)
    assert record.key == content.encode()
    assert list(json.loads(record.value)) == list(ENGAGEMENT.names)
    assert json.loads(record.value)["event_ts"] == "2026-05-01T10:00:00.123456+00:00"
    event = decode(record.value)
    assert (event.title, event.device, event.content_type) == ("نشرة الصباح 🎧", "آيفون", "podcast")
    assert bytes(event.raw_payload) == b'"scalar"'
    assert (event.engagement_seconds, event.engagement_pct) == (Decimal("60.01"), Decimal("0.25"))
    assert dict(record.headers)["schema-version"] == b"1"


def test_ids_that_commit_late_are_found_and_those_rolled_back_are_given_up(
    settings: Settings, source_db: SourceDatabase
) -> None:
    with another(source_db) as late, another(source_db) as lost, another(source_db) as quick:
        late_ids = insert(late, 2)
        insert(lost)
        quick_ids = insert(quick)
        quick.commit()
        with running(relay.run, settings) as control:
            wait_for(lambda: published(settings) == quick_ids, "the quick event")
            lost.rollback()
            assert control.progress.detail["open_ids"] == 3
            late.commit()
            wait_for(lambda: published(settings) == late_ids + quick_ids, "the late events")
            wait_for(lambda: control.progress.detail["open_ids"] == 0, "the lost id to be given up")


def test_a_savepoint_rolled_back_keeps_the_transaction_s_other_ids(
    settings: Settings, source_db: SourceDatabase
) -> None:
    with another(source_db) as one, another(source_db) as other:
        kept = insert(one)
        one.execute("SAVEPOINT s")
        insert(one, 3)
        one.execute("ROLLBACK TO SAVEPOINT s")
        kept += insert(one)
        seen = insert(other)
        other.commit()
        drain(relay.run, settings)
        assert published(settings) == seen
        one.commit()
    drain(relay.run, settings)
    assert published(settings) == sorted(kept + seen)


def test_an_open_transaction_survives_a_restart_of_the_relay(settings: Settings, source_db: SourceDatabase) -> None:
    """The checkpoint has no holders: a relay that took that for `nobody` would give the id up."""
    with another(source_db) as late, another(source_db) as quick:
        ids = insert(late)
        ids += insert(quick)
        quick.commit()
        for _ in range(2):
            drain(relay.run, settings)
        late.commit()
    drain(relay.run, settings)
    assert published(settings) == ids


def test_a_prepared_transaction_holds_its_ids(settings: Settings, source_db: SourceDatabase) -> None:
    with another(source_db) as one, another(source_db) as quick:
        one.autocommit = True
        one.execute("BEGIN")
        ids = insert(one)
        one.execute("PREPARE TRANSACTION 'later'")
        ids += insert(quick)
        quick.commit()
        drain(relay.run, settings)
        assert published(settings) == ids[1:]
        one.execute("COMMIT PREPARED 'later'")
    drain(relay.run, settings)
    assert published(settings) == ids


def test_a_first_start_at_latest_keeps_the_ids_of_open_transactions(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """Id 2 is open while 3 is visible: a start that only noted the highest id would lose it."""
    latest = settings.replace(start="latest")
    with another(source_db) as old, another(source_db) as late, another(source_db) as quick:
        insert(old)
        old.commit()
        late_ids = insert(late)
        insert(quick)
        quick.commit()
        drain(relay.run, latest)
        assert published(settings) == []
        late.commit()
        new_ids = insert(quick)
        quick.commit()
    drain(relay.run, latest)
    assert published(settings) == late_ids + new_ids


def test_more_ids_than_a_read_takes_commit_at_once_below_the_highest(
    settings: Settings, source_db: SourceDatabase
) -> None:
    small = settings.replace(relay_batch_rows=50)
    with another(source_db) as bulk, another(source_db) as quick:
        ids = insert(bulk, 500)
        ids += insert(quick)
        quick.commit()
        drain(relay.run, small)
        bulk.commit()
    drain(relay.run, small)
    assert published(settings) == ids


def test_a_read_that_is_cut_by_its_bytes_loses_nothing(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    ids = insert(writer, 300)
    drain(relay.run, settings.replace(relay_batch_bytes=2_000))
    assert published(settings) == ids


@pytest.mark.slow
def test_concurrent_writers_with_rollbacks_savepoints_and_prepared_transactions(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """The stress of the ledger: 10,000 gaps are held open all the while."""
    writers, rounds = 6, 60
    with another(source_db) as holder:
        holder.execute("SELECT nextval('engagement_events_id_seq') FROM generate_series(1, 1)")
        with another(source_db) as other:
            for _ in range(100):  # every second id is the holder's
                holder.execute("SELECT nextval('engagement_events_id_seq')")
                insert(other)
            other.commit()
        held = insert(holder, 10_000)
        with running(relay.run, settings) as control:
            threads = [threading.Thread(target=_write, args=(source_db, n, rounds)) for n in range(writers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            holder.commit()
            with psycopg.connect(source_db.writer_dsn) as reader:
                wanted = [row[0] for row in reader.execute("SELECT id FROM engagement_events ORDER BY id")]
            wait_for(lambda: control.progress.events >= len(wanted), "all events")
            wait_for(lambda: control.progress.detail["open_ids"] == 0, "all gaps to close")
    assert set(held) <= set(wanted)
    assert published(settings) == wanted


def _write(source_db: SourceDatabase, number: int, rounds: int) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        for turn in range(rounds):
            connection.execute("BEGIN")
            insert(connection, 1 + turn % 3)
            if turn % 5 == 1:
                connection.execute("SAVEPOINT s")
                insert(connection, 2)
                connection.execute("ROLLBACK TO SAVEPOINT s")
            connection.execute("SELECT pg_sleep(random() / 50)")
            if turn % 7 == 2:
                connection.execute("ROLLBACK")
            elif turn % 7 == 5:
                connection.execute(f"PREPARE TRANSACTION 'w{number}-{turn}'".encode())
                connection.execute("SELECT pg_sleep(random() / 50)")
                end = "ROLLBACK" if turn % 2 else "COMMIT"
                connection.execute(f"{end} PREPARED 'w{number}-{turn}'".encode())
            else:
                connection.execute("COMMIT")


@pytest.mark.parametrize("timestamp", ["infinity", "-infinity", "0044-03-15 BC", "12024-01-01"])
def test_a_timestamp_that_json_cannot_carry_is_a_dead_letter(
    settings: Settings, writer: psycopg.Connection[Any], timestamp: str
) -> None:
    writer.execute("INSERT INTO engagement_events (event_type, event_ts) VALUES ('play', %s::timestamptz)", [timestamp])
    insert(writer)
    drain(relay.run, settings)
    assert published(settings) == [2]
    assert "RFC 3339" in dead_letters(settings)[1]
    assert letters(settings)[1]["event"]["event_type"] == "play"


@pytest.mark.parametrize("timestamp", ["1970-01-01", "2099-12-31 23:59:59.999999"])
def test_a_timestamp_far_from_now_is_published(
    settings: Settings, writer: psycopg.Connection[Any], timestamp: str
) -> None:
    writer.execute("INSERT INTO engagement_events (event_type, event_ts) VALUES ('play', %s::timestamptz)", [timestamp])
    drain(relay.run, settings)
    assert f"{events(settings)[1].event_ts:%Y}" == timestamp[:4]


def test_large_payloads_pass_and_too_large_ones_are_dead_letters(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    for size in (900_000, 1_200_000, 10):
        writer.execute(
            "INSERT INTO engagement_events (event_type, event_ts, raw_payload) VALUES ('play', now(), %s)",
            [Jsonb("x" * size)],
        )
    drain(relay.run, settings)
    assert published(settings) == [1, 3]
    assert len(events(settings)[1].raw_payload) == 900_002
    assert "too large" in dead_letters(settings)[2]
    assert "event" not in letters(settings)[2]


def test_an_event_beyond_what_postgresql_can_write_as_json_is_a_dead_letter(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """Each number is a few bytes, and is written with 131,000 digits: over 1 GB."""
    writer.execute(
        "INSERT INTO engagement_events (event_type, event_ts, raw_payload) "
        "VALUES ('play', now(), to_jsonb(array_fill(1e131000::numeric, ARRAY[9000])))"
    )
    insert(writer, 2)
    drain(relay.run, settings.replace(relay_batch_rows=2))
    assert published(settings) == [2, 3]
    assert "too large" in dead_letters(settings)[1]


def test_null_in_every_column_that_may_be_null(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    writer.execute("INSERT INTO engagement_events (event_ts) VALUES (now())")
    drain(relay.run, settings)
    event = events(settings)[1]
    assert event.content_id is None
    assert event.engagement_seconds is None
    assert bytes(event.raw_payload) == b"null"


@pytest.mark.parametrize(
    ("length", "duration", "seconds", "pct"),
    [
        (0, 1000, "1.00", None),
        (None, 1000, "1.00", None),
        (-10, 1000, "1.00", "-0.10"),
        (10, 0, "0.00", "0.00"),
        (10, -1005, "-1.01", "-0.10"),
        (10, None, None, None),
    ],
)
def test_lengths_and_durations_of_zero_and_below(
    settings: Settings,
    writer: psycopg.Connection[Any],
    length: int | None,
    duration: int | None,
    seconds: str | None,
    pct: str | None,
) -> None:
    content = "7b0a1f6e-0000-4000-8000-000000000001"
    writer.execute("INSERT INTO content VALUES (%s, 's', 't', 'video', %s, now())", [content, length])
    writer.execute(
        "INSERT INTO engagement_events (content_id, event_ts, duration_ms) VALUES (%s, now(), %s)", [content, duration]
    )
    drain(relay.run, settings)
    event = events(settings)[1]
    assert event.engagement_seconds == (None if seconds is None else Decimal(seconds))
    assert event.engagement_pct == (None if pct is None else Decimal(pct))


def test_of_two_relays_only_the_later_commits(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    with running(relay.run, settings) as first:
        insert(writer, 3)
        wait_for(lambda: first.progress.events == 3, "the first relay")
        first.owns_lease = lambda: False  # type: ignore[method-assign]
        with running(relay.run, settings) as second:
            insert(writer, 200)
            wait_for(lambda: len(published(settings)) == 203, "the events")
            insert(writer, 5)
            wait_for(lambda: len(published(settings)) == 208, "the later relay")
            assert second.progress.events + first.progress.events == 208
    assert Counter(published(settings)) == Counter(range(1, 209))


def test_a_fenced_relay_that_owns_the_lease_reads_the_checkpoint_and_goes_on(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    with running(relay.run, settings) as control:
        insert(writer)
        wait_for(lambda: control.progress.events == 1, "the first event")
        with open_producer(settings, 1_000_000) as intruder:
            intruder.fence()
        insert(writer)
        wait_for(lambda: published(settings) == [1, 2], "the event after the fence")


def test_a_fenced_relay_waits_until_it_is_known_who_owns_the_lease(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """Two relays that both take the lease for theirs would fence each other for ever."""
    known, asked = threading.Event(), threading.Event()

    def owns_lease() -> bool:
        asked.set()
        if known.is_set():
            return False
        raise Unavailable("The platform database does not answer.")

    with running(relay.run, settings) as first:
        insert(writer)
        wait_for(lambda: first.progress.events == 1, "the first event")
        first.owns_lease = owns_lease  # type: ignore[method-assign]
        with running(relay.run, settings) as second:
            ids = [1]
            while not asked.wait(0.1):  # the first relay learns of the second when it commits
                ids.extend(insert(writer))
            for _ in range(4):
                ids.extend(insert(writer))
                wait_for(lambda: published(settings) == ids, "the second relay's event")
            assert second.progress.events >= 4
            known.set()


def test_relays_of_two_topics_may_share_the_checkpoint_topic(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    another_topic = settings.replace(topic=f"{settings.topics.events}-b")
    insert(writer, 3)
    drain(relay.run, settings)
    drain(relay.run, another_topic)
    insert(writer, 2)
    drain(relay.run, another_topic)
    drain(relay.run, settings)
    assert published(settings) == published(another_topic) == [1, 2, 3, 4, 5]


def test_behind_a_table_lock_the_relay_says_that_it_waits(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    insert(writer)
    with another(source_db) as owner, caplog.at_level(logging.WARNING), running(relay.run, settings) as control:
        wait_for(lambda: control.progress.events == 1, "the first event")
        owner.execute("LOCK TABLE engagement_events IN ACCESS EXCLUSIVE MODE")
        wait_for(lambda: "wait too long" in caplog.text, "the line that says so")
        owner.rollback()
        insert(writer)
        wait_for(lambda: published(settings) == [1, 2], "the event behind the lock")


def test_the_checkpoint_is_read_past_a_transaction_left_open_by_its_predecessor(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """A read_committed consumer's end stops before it: an old checkpoint would be taken for the last."""
    insert(writer)
    drain(relay.run, settings)
    frozen = KafkaProducer(
        **options(settings.kafka), transactional_id=f"engagement-relay-{settings.topics.events}", acks="all"
    )
    frozen.init_transactions()
    frozen.begin_transaction()
    frozen.send(settings.topics.events, b"{}", partition=0)
    frozen.send(settings.topics.checkpoint, b"{}", key(settings), partition=0)
    frozen.flush()
    insert(writer)
    drain(relay.run, settings)
    frozen.close(timeout=0)
    assert published(settings) == [1, 2]


def test_another_server_or_timeline_stops_the_stream(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    drain(relay.run, settings)
    write_checkpoint(settings, source=SourceIdentity("1", 1, "media"))
    with pytest.raises(StreamStopped, match="checkpoint reset"):
        drain(relay.run, settings)


def test_a_source_that_was_set_back_stops_the_stream(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    insert(writer, 3)
    drain(relay.run, settings)
    writer.execute("TRUNCATE engagement_events RESTART IDENTITY")
    with pytest.raises(StreamStopped, match="set back"):
        drain(relay.run, settings)


def test_a_sequence_with_a_cache_stops_the_stream(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    writer.execute("ALTER SEQUENCE engagement_events_id_seq CACHE 10")
    with pytest.raises(StreamStopped, match="CACHE 10"):
        drain(relay.run, settings)


def test_a_missing_right_is_refused_with_what_to_grant_and_the_relay_goes_on_once_it_is_granted(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    insert(writer, 1)
    writer.execute("REVOKE SELECT ON content FROM engagement_reader")
    with pytest.raises(Refused, match="GRANT SELECT ON content TO engagement_reader"):
        drain(relay.run, settings)
    with running(relay.run, settings) as control:
        wait_for(lambda: control.progress.state.kind is Activity.REFUSED, "the relay to say that it is refused")
        assert control.progress.state.subject == "the source"
        writer.execute("GRANT SELECT ON content TO engagement_reader")
        wait_for(lambda: published(settings) == [1], "the relay to go on")
        assert control.progress.state.kind is Activity.STREAMS


def test_a_type_that_changes_in_mid_stream_stops_the_relay_before_an_event_of_another_form(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.1)
    insert(writer, 1)
    with running(relay.run, settings) as control:
        wait_for(lambda: published(settings) == [1], "the first event")
        writer.execute(
            "ALTER TABLE engagement_events ALTER event_ts TYPE timestamp USING event_ts AT TIME ZONE 'Asia/Tokyo'"
        )
        insert(writer, 1)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "the relay to stop")
        assert "event_ts of engagement_events is timestamp without time zone" in control.progress.state.reason
        assert published(settings) == [1]
        writer.execute(
            "ALTER TABLE engagement_events ALTER event_ts TYPE timestamptz USING event_ts AT TIME ZONE 'Asia/Tokyo'"
        )
        wait_for(lambda: published(settings) == [1, 2], "the relay to go on by itself")
        writer.execute("ALTER TABLE engagement_events RENAME COLUMN device TO agent")
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "the relay to stop")
        assert "lacks column device" in control.progress.state.reason
        writer.execute("ALTER TABLE engagement_events RENAME COLUMN agent TO device")
        insert(writer, 1)
        writer.execute("ALTER TABLE engagement_events ALTER duration_ms TYPE bigint")
        wait_for(lambda: published(settings) == [1, 2, 3], "the relay to go on by itself")


def test_rows_that_are_hidden_in_mid_stream_stop_the_relay_until_they_are_not(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 0.1)
    insert(writer, 1)
    with running(relay.run, settings) as control:
        wait_for(lambda: published(settings) == [1], "the first event")
        writer.execute("ALTER TABLE engagement_events ENABLE ROW LEVEL SECURITY")
        insert(writer, 2)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "the relay to stop")
        assert "BYPASSRLS" in control.progress.state.remedy
        writer.execute("ALTER TABLE engagement_events DISABLE ROW LEVEL SECURITY")
        wait_for(lambda: published(settings) == [1, 2, 3], "the relay to go on by itself")


def test_a_lost_checkpoint_topic_stops_the_stream(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    migrate.ensure_schema(settings)
    insert(writer, 3)
    drain(relay.run, settings)
    copy = mirror.read(settings)
    assert copy is not None
    assert copy.hi == 3
    lost = settings.replace(checkpoint_topic=settings.topics.checkpoint + "-new")
    with pytest.raises(StreamStopped, match="checkpoint restore"):
        drain(relay.run, lost)


def test_garbage_in_the_checkpoint_topic_stops_the_stream(settings: Settings) -> None:
    ensure_topics(settings)
    producer = KafkaProducer(**options(settings.kafka))
    producer.send(settings.topics.checkpoint, b"not a checkpoint", key(settings), partition=0)
    producer.close()
    with pytest.raises(StreamStopped, match="cannot be read"):
        drain(relay.run, settings)


def test_ten_thousand_gaps_fit_a_small_checkpoint(settings: Settings, source_db: SourceDatabase) -> None:
    with another(source_db) as holder, another(source_db) as quick:
        for _ in range(10_000):
            holder.execute("SELECT nextval('engagement_events_id_seq')")
            quick.execute("INSERT INTO engagement_events (event_ts) VALUES (now())")
        quick.commit()
        drain(relay.run, settings)
        found = last_checkpoint(settings)
        assert len(checkpoints.missing_ranges(found)) == 10_000
        assert len(checkpoints.to_bytes(found)) < 100_000


def test_the_latency_header_is_never_after_the_commit(settings: Settings, source_db: SourceDatabase) -> None:
    """An id found late was not seen by the poll before: the bound holds for it too."""
    with another(source_db) as late, another(source_db) as quick, running(relay.run, settings) as control:
        insert(late)
        insert(quick)
        quick.commit()
        wait_for(lambda: control.progress.events == 1, "the quick event")
        before = late.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint").fetchone()
        late.commit()
        wait_for(lambda: control.progress.events == 2, "the late event")
    record = next(r for r in read_all(settings, settings.topics.events) if json.loads(r.value)["id"] == 1)
    unseen_at = int(dict(record.headers)["unseen-at"])
    assert before is not None
    assert abs(unseen_at - before[0]) < 5_000_000
    assert control.progress.latency.present().maximum < 5


def test_the_read_uses_the_index_however_often_it_is_called(settings: Settings, source_db: SourceDatabase) -> None:
    """`id > hi OR id = ANY(missing)` turned to a scan of the table at the sixth call."""
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        writer.execute("INSERT INTO engagement_events (event_ts) SELECT now() FROM generate_series(1, 20000)")
        writer.execute("ANALYZE engagement_events")
    probes = [IdRange(i, i) for i in range(1, 2000, 2)]
    limits = Limits(2_000, 1 << 24, 1 << 20)
    with reader.open_source(origin(source_db.dsn)) as source:
        for _ in range(8):
            source.read(19_990, probes, limits)
        parameters = {"hi": 1, "firsts": [1], "lasts": [2], "max_bytes": 10}
        parameters |= source._look.marks_of_change
        source._connection.execute("SET plan_cache_mode = force_generic_plan")
        statement = source._events._statement(source._look.last_given, 10).replace(
            session.form(origin(source_db.dsn)).encode(), b"0"
        )  # it reads no row of the tables
        plan = source._connection.execute(b"EXPLAIN " + statement, parameters).fetchall()
    assert "Seq Scan on engagement_events " not in str(plan)
    assert "Seq Scan on content" not in str(plan)


def test_stopping_leaves_a_checkpoint_of_the_last_state(settings: Settings, source_db: SourceDatabase) -> None:
    with another(source_db) as lost, another(source_db) as quick:
        insert(lost)
        insert(quick)
        quick.commit()
        with running(relay.run, settings) as control:
            wait_for(lambda: control.progress.events == 1, "the event")
            lost.rollback()
            wait_for(lambda: control.progress.detail["open_ids"] == 0, "the gap to close")
    assert last_checkpoint(settings).missing == []


def test_a_relay_that_lost_its_lease_does_not_fence_its_successor(settings: Settings) -> None:
    ensure_topics(settings)
    control = Standalone(drain=True)
    control.owns_lease = lambda: False  # type: ignore[method-assign]
    with open_producer(settings, 1_000_000) as successor:
        successor.fence()
        relay.run(settings, control)
        successor.commit([Message(settings.topics.events, None, b"{}")])


def test_wrong_settings_are_not_waited_for(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    wrong = settings.replace(source_dsn=settings.platform.dsn)
    with caplog.at_level(logging.WARNING), pytest.raises(StreamStopped, match="ENGAGEMENT_SOURCE_DSN"):
        drain(relay.run, wrong)
