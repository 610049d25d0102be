"""The table or its sequence changes under the stream: it stops, or what happened is harmless."""

from collections import Counter
from typing import Any

import msgspec
import psycopg
import pytest

from engagement_platform.adapters.source.reader import Source
from engagement_platform.adapters.source.rows import Altered, Rows
from engagement_platform.domain.checkpoint import SourceIdentity
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.loop_state import Activity
from engagement_platform.recovery import relay as relay_recovery
from engagement_platform.settings import Settings
from engagement_platform.stream import supervisor
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.relay import source_watch
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.sources import (
    another,
    last_checkpoint,
    published,
    relaying,
    repaired,
    replace_by_copy,
    unsee,
    wait_until_stopped,
    write_checkpoint,
    writer,
)
from engagement_platform_tests.streaming import drain, insert, running, wait_for

__all__ = ["writer"]


@pytest.mark.parametrize("sees_sequence", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("rows", [8, 100])
def test_a_table_that_is_truncated_with_its_sequence_stops_the_stream_and_its_new_rows_are_published(
    settings: Settings,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    sees_sequence: bool,
) -> None:
    """Also where the sequence has passed the old highest id before anybody could look."""
    if not sees_sequence:
        unsee(writer)
    with relaying(settings, monkeypatch) as control:
        old = insert(writer, 20)
        wait_for(lambda: control.progress.events == 20, "the first rows")
        with writer.transaction():
            writer.execute("TRUNCATE engagement_events RESTART IDENTITY")
            new = insert(writer, rows)
        state = wait_until_stopped(control)
        assert "checkpoint reset --at" in state.remedy
        repaired(lambda: relay_recovery.reset(settings, "earliest"))
        more = insert(writer, 2)
        wait_for(lambda: Counter(published(settings)) >= Counter(old + new + more), "the new rows")
    surplus = Counter(published(settings)) - Counter(old + new + more)
    assert set(surplus) <= set(new), "at most rows above the old highest id come twice"
    assert drain(relay.run, settings).progress.events == 0


def test_a_truncated_table_is_noticed_by_the_next_start(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    insert(writer, 5)
    drain(relay.run, settings)
    writer.execute("TRUNCATE engagement_events RESTART IDENTITY")
    insert(writer, 50)
    with pytest.raises(StreamStopped, match="other rows than before"):
        drain(relay.run, settings)


def test_a_table_that_is_truncated_without_its_sequence_goes_on(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    first = insert(writer, 20)
    drain(relay.run, settings)
    writer.execute("TRUNCATE engagement_events")
    drain(relay.run, settings)
    second = insert(writer, 3)
    drain(relay.run, settings)
    assert published(settings) == first + second


@pytest.mark.parametrize("look_seconds", [1.0, 1e9], ids=["looking", "between two looks"])
def test_a_late_commit_into_a_copy_that_took_the_table_s_place_is_not_lost(
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    look_seconds: float,
) -> None:
    """Its ids come from another sequence: by the locks of the old one nobody could commit them any more."""
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", look_seconds)
    ids = insert(writer, 5)
    with relaying(settings, monkeypatch) as control, another(source_db) as late:
        wait_for(lambda: control.progress.events == 5, "the first rows")
        replace_by_copy(writer)
        late_ids = insert(late)
        ids += insert(writer, 3)
        state = wait_until_stopped(control)
        assert "another table" in state.reason
        late.commit()
        ids += late_ids
        assert "checkpoint adopt" in state.remedy
        repaired(lambda: relay_recovery.adopt(settings))
        ids += insert(writer, 2)
        wait_for(lambda: len(published(settings)) >= len(ids), "all rows")
    drain(relay.run, settings)
    assert published(settings) == sorted(ids)


def test_a_copy_whose_sequence_begins_below_the_published_ids_is_adopted(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """Its sequence gives ids that were given up in the old table: they are new events."""
    ids = insert(writer, 3)
    with another(source_db) as lost:
        insert(lost, 4)
        ids += insert(writer, 3)
        lost.rollback()
    drain(relay.run, settings)
    replace_by_copy(writer, start=4)
    with pytest.raises(StreamStopped, match="another table"):
        drain(relay.run, settings)
    relay_recovery.adopt(settings)
    drain(relay.run, settings)
    ids += insert(writer, 2)
    drain(relay.run, settings)
    ids += insert(writer, 2)
    drain(relay.run, settings)
    assert ids[-4:] == [4, 5, 6, 7]
    assert published(settings) == sorted(ids)


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM FULL engagement_events",
        "CLUSTER engagement_events USING engagement_events_pkey",
        "ALTER TABLE engagement_events ALTER duration_ms TYPE bigint",
        "ALTER SEQUENCE engagement_events_id_seq MAXVALUE 9000000000000",
        "ALTER SEQUENCE engagement_events_id_seq OWNED BY NONE",
        "UPDATE engagement_events SET duration_ms = 7, device = 'web'",
        "UPDATE engagement_events SET user_id = NULL",
        "DELETE FROM engagement_events WHERE id > 3",
        "ALTER TABLE engagement_events ADD COLUMN referrer text",
        "CREATE INDEX ON engagement_events (event_ts)",
    ],
)
def test_what_the_owner_does_to_a_table_in_peace_does_not_stop_the_stream(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    ids = insert(writer, 5)
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", 0.05)
    with relaying(settings, monkeypatch) as control:
        wait_for(lambda: control.progress.events == 5, "the first rows")
        writer.execute(statement.encode())
        ids += insert(writer, 2)
        wait_for(lambda: control.progress.events == 7, "the rows that follow")
    drain(relay.run, settings)
    assert published(settings) == ids


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER SEQUENCE engagement_events_id_seq RENAME TO "another 100% name"',
        "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO engagement_reader;"
        "ALTER SEQUENCE engagement_events_id_seq OWNED BY NONE;"
        "ALTER SEQUENCE engagement_events_id_seq SET SCHEMA other",
        "CREATE SCHEMA other; ALTER SEQUENCE engagement_events_id_seq OWNED BY NONE;"
        "ALTER SEQUENCE engagement_events_id_seq SET SCHEMA other",
    ],
    ids=["name", "schema", "schema out of reach"],
)
def test_a_sequence_that_gets_another_name_between_two_looks_does_not_stop_the_stream(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    ids = insert(writer, 5)
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", 1e9)
    monkeypatch.setattr(supervisor, "LOOK_AGAIN_SECONDS", 1e9)
    with running(relay.run, settings) as control:
        wait_for(lambda: control.progress.events == 5, "the first rows")
        writer.execute(statement.encode())
        ids += insert(writer, 2)
        wait_for(lambda: control.progress.events == 7, "the rows that follow")
    assert published(settings) == ids


def test_a_cache_that_is_set_on_the_sequence_stops_the_stream_before_an_id_is_given_up(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session takes ids 6 to 15 and uses the first; nothing locks the others until it inserts them, later."""
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", 1e9)
    ids = insert(writer, 5)
    with relaying(settings, monkeypatch) as control, another(source_db) as cached:
        wait_for(lambda: control.progress.events == 5, "the first rows")
        writer.execute("ALTER SEQUENCE engagement_events_id_seq CACHE 10")
        ids += insert(cached)
        cached.commit()
        ids += insert(writer)
        state = wait_until_stopped(control)
        assert "CACHE 10" in state.reason
        ids += insert(cached, 2)
        cached.commit()
        writer.execute(state.remedy.removeprefix("Ask the owner to run: ").encode())
        ids += insert(writer, 2)
        wait_for(lambda: len(published(settings)) >= len(ids), "all rows")
    assert published(settings) == sorted(ids)


@pytest.mark.parametrize("statement", ["CREATE SEQUENCE other START 1000", "CREATE SEQUENCE other START 3"])
def test_a_default_that_takes_ids_from_another_sequence_stops_the_stream(
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", 1e9)
    ids = insert(writer, 2)
    with relaying(settings, monkeypatch) as control, another(source_db) as late:
        wait_for(lambda: control.progress.events == 2, "the first rows")
        writer.execute(statement.encode())
        writer.execute("GRANT SELECT ON SEQUENCE other TO engagement_reader")
        writer.execute("ALTER TABLE engagement_events ALTER id SET DEFAULT nextval('other')")
        late_ids = insert(late)
        ids += insert(writer)
        assert "another sequence" in wait_until_stopped(control).reason
        repaired(lambda: relay_recovery.adopt(settings))
        ids += insert(writer)
        wait_for(lambda: published(settings) == ids, "the rows that are visible")
        late.commit()
        wait_for(lambda: published(settings) == sorted(ids + late_ids), "the late row")


def test_a_default_may_take_the_ids_from_a_sequence_that_belongs_to_no_column(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """The owned sequence is not the one that is used: its locks say nothing."""
    writer.execute("CREATE SEQUENCE other; GRANT SELECT ON SEQUENCE other TO engagement_reader")
    writer.execute("ALTER TABLE engagement_events ALTER id SET DEFAULT nextval('other')")
    with another(source_db) as late:
        ids = insert(late)
        ids += insert(writer)
        drain(relay.run, settings)
        drain(relay.run, settings)
        late.commit()
    drain(relay.run, settings)
    assert published(settings) == ids


@pytest.mark.parametrize(
    "statement",
    ["SELECT setval('engagement_events_id_seq', 2)", "ALTER SEQUENCE engagement_events_id_seq RESTART WITH 3"],
)
def test_a_sequence_that_is_set_back_stops_the_stream(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    ids = insert(writer, 6)
    with relaying(settings, monkeypatch) as control:
        wait_for(lambda: control.progress.events == 6, "the first rows")
        writer.execute("DELETE FROM engagement_events WHERE id > 2")
        writer.execute(statement.encode())
        ids += insert(writer, 2)
        assert "given out ids up to 4, but 6" in wait_until_stopped(control).reason
        repaired(lambda: relay_recovery.reset(settings, "2"))
        ids += insert(writer, 6)
        wait_for(lambda: len(published(settings)) >= len(ids), "all rows")
    assert published(settings) == sorted(ids)


def test_a_sequence_that_alone_is_set_back_is_adopted_and_the_stream_goes_on(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are all there: ids that it gives again are refused by the key, until it is past them."""
    ids = insert(writer, 6)
    with relaying(settings, monkeypatch) as control:
        wait_for(lambda: control.progress.events == 6, "the first rows")
        writer.execute("SELECT setval('engagement_events_id_seq', 2)")
        stopped = wait_until_stopped(control)
        assert "given out ids up to 2, but 6" in stopped.reason
        assert "If only the sequence was set back: engagement-platform checkpoint adopt" in stopped.remedy
        repaired(lambda: relay_recovery.adopt(settings))
        for _ in range(4):
            with pytest.raises(psycopg.errors.UniqueViolation):
                insert(writer)
        ids += insert(writer, 2)
        wait_for(lambda: published(settings) == ids, "the rows behind those of before")
    drain(relay.run, settings)
    assert published(settings) == ids == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("grants", [True, False], ids=["granted", "not granted"])
def test_a_table_that_is_dropped_and_made_again_stops_the_stream(
    settings: Settings, writer: psycopg.Connection[Any], grants: bool
) -> None:
    old = insert(writer, 3)
    drain(relay.run, settings)
    create = "CREATE TABLE engagement_events (LIKE again INCLUDING ALL)"
    writer.execute("ALTER TABLE engagement_events RENAME TO again")
    writer.execute("CREATE SEQUENCE numbers")
    writer.execute(create.encode())
    writer.execute("ALTER TABLE engagement_events ALTER id SET DEFAULT nextval('numbers')")
    writer.execute("DROP TABLE again CASCADE")
    writer.execute("GRANT SELECT ON engagement_events TO engagement_reader")
    if grants:
        writer.execute("GRANT SELECT ON SEQUENCE numbers TO engagement_reader")
    new = insert(writer, 9)
    with pytest.raises(StreamStopped, match="another table"):
        drain(relay.run, settings)
    relay_recovery.reset(settings, "earliest")
    drain(relay.run, settings)
    assert published(settings) == sorted(old + new)


def test_a_partitioned_table_is_read_like_another(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("ALTER TABLE engagement_events RENAME TO whole")
        owner.execute(
            "CREATE TABLE engagement_events (LIKE whole INCLUDING DEFAULTS) PARTITION BY RANGE (event_ts);"
            "CREATE TABLE past PARTITION OF engagement_events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');"
            "CREATE TABLE rest PARTITION OF engagement_events DEFAULT;"
            "CREATE INDEX ON engagement_events (id);"
            "GRANT SELECT ON engagement_events TO engagement_reader"
        )
        with another(source_db) as late:
            ids = insert(late)
            late.execute("INSERT INTO engagement_events (event_ts) VALUES ('2020-01-01')")
            ids += [2, *insert(owner)]
            drain(relay.run, settings)
            drain(relay.run, settings)
            late.commit()
        drain(relay.run, settings)
        owner.execute("TRUNCATE past")
        ids += insert(owner)
        drain(relay.run, settings)
    assert published(settings) == ids


def test_a_checkpoint_of_an_older_version_is_completed_in_silence(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = insert(writer, 3)
    drain(relay.run, settings)
    whole = last_checkpoint(settings)
    old = SourceIdentity(whole.source.system_identifier, whole.source.timeline, whole.source.database)
    write_checkpoint(settings, source=old, numbered=None, marks="")
    drain(relay.run, settings)
    assert msgspec.structs.replace(last_checkpoint(settings), unseen_at=whole.unseen_at) == whole
    assert published(settings) == ids


def test_a_source_that_looks_altered_for_ever_is_waited_for_and_not_asked_without_a_pause(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[None] = []

    def altered(*_: object) -> Rows:
        reads.append(None)
        raise Altered

    read = Source.read
    with running(relay.run, settings) as control:
        ids = insert(writer, 3)
        wait_for(lambda: control.progress.events == 3, "the first rows")
        monkeypatch.setattr(Source, "read", altered)
        wait_for(lambda: control.progress.state.kind is Activity.WAITS and len(reads) > 6, "it to wait")
        assert "altered" in control.progress.state.reason
        monkeypatch.setattr(Source, "read", read)
        ids += insert(writer, 2)
        wait_for(lambda: control.progress.events == 5, "the others")
    assert sorted(published(settings)) == ids
