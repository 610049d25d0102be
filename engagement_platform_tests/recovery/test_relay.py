import psycopg
import pytest

from engagement_platform import cli
from engagement_platform.adapters.kafka.checkpoints import key
from engagement_platform.adapters.kafka.producer import Fenced, FencedProducer, Message, open_producer
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform import mirror
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.domain.checkpoint import missing_ranges
from engagement_platform.domain.errors import EngagementError, StreamStopped
from engagement_platform.domain.schema_history import NOTHING_KEPT
from engagement_platform.history.rebuild import rebuild_days
from engagement_platform.recovery import relay as relay_recovery
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.sources import last_checkpoint, write_checkpoint
from engagement_platform_tests.streaming import drain, insert, running, wait_for
from engagement_platform_tests.warehouse import DAY, table_ids, write


def test_restore_takes_up_the_copy_after_the_topic_is_lost(settings: Settings, source_db: SourceDatabase) -> None:
    ensure_schema(settings)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        insert(writer, 3)
        drain(relay.run, settings)
        lost = settings.replace(checkpoint_topic=settings.topics.checkpoint + "-new")
        assert relay_recovery.restore(lost).hi == 3
        insert(writer, 2)
    assert drain(relay.run, lost).progress.events == 2


def test_restore_without_a_copy_says_so(settings: Settings) -> None:
    with pytest.raises(EngagementError, match="no copy"):
        relay_recovery.restore(settings)


def test_reset_after_the_source_was_set_back_lets_the_stream_go_on(
    settings: Settings, source_db: SourceDatabase
) -> None:
    ensure_schema(settings)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        insert(writer, 5)
        drain(relay.run, settings)
        writer.execute("TRUNCATE engagement_events RESTART IDENTITY")
        insert(writer, 2)
        assert relay_recovery.reset(settings, "latest").hi == 2
        insert(writer, 1)
    assert drain(relay.run, settings).progress.events == 1
    copy = mirror.read(settings)
    assert copy is not None
    assert copy.hi == 3


def test_events_of_a_restored_source_reach_days_that_were_rebuilt_before(
    settings: Settings, source_db: SourceDatabase
) -> None:
    """The ids above the backup are given out again: that a rebuild has seen them is no reason to leave them out."""
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        write(writer, 5)
        drain(relay.run, settings)
        drain(stage.run, settings)
        rebuild_days(settings, [DAY], "before")
        writer.execute("DELETE FROM engagement_events WHERE id > 2")
        writer.execute("SELECT setval('engagement_events_id_seq', 2)")
        with pytest.raises(StreamStopped, match="given out ids up to 2"):
            rebuild_days(settings, [DAY], "between")
        relay_recovery.reset(settings, "latest")
        write(writer, 3)
        drain(relay.run, settings)
        drain(stage.run, settings)
        assert table_ids(settings) == [1, 2, 3, 3, 4, 4, 5, 5], "the rebuilt day has those of before the restore, too"
        rebuild_days(settings, [DAY], "after")
        assert table_ids(settings) == [1, 2, 3, 4, 5]


def test_a_running_relay_goes_on_from_the_new_place(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer, running(relay.run, settings) as control:
        insert(writer, 4)
        wait_for(lambda: control.progress.events == 4, "the first events")
        relay_recovery.reset(settings, "2")
        insert(writer, 1)
        wait_for(lambda: control.progress.events == 4 + 3, "the events above the new place, again")


JUNK = b"not a checkpoint"


def put(settings: Settings, value: bytes) -> None:
    """Write a record to the checkpoint topic as another program would."""
    ensure_topics(settings)
    with open_producer(settings, 1 << 20) as producer:
        producer.fence()
        producer.commit([Message(settings.topics.checkpoint, key(settings), value)])


def spoil_copy(settings: Settings, value: bytes) -> None:
    with psycopg.connect(settings.platform.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("UPDATE engagement_platform.relay_checkpoint_mirror SET checkpoint = %s", [value])


@pytest.mark.parametrize("spoilt", ["checkpoint", "copy", "both"])
def test_reset_when_nothing_can_be_read_any_more(settings: Settings, source_db: SourceDatabase, spoilt: str) -> None:
    ensure_schema(settings)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        insert(writer, 3)
        drain(relay.run, settings)
        if spoilt != "copy":
            put(settings, JUNK)
        if spoilt != "checkpoint":
            spoil_copy(settings, JUNK)
        with pytest.raises(StreamStopped, match="cannot be read"):
            relay_recovery.show(settings)
        first = relay_recovery.reset(settings, "latest")
        assert relay_recovery.show(settings) == (first, first)
        second = relay_recovery.reset(settings, "latest")
        assert second.generation == first.generation + 1
        insert(writer, 2)
    assert drain(relay.run, settings).progress.events == 2


@pytest.mark.parametrize("after", ["fence", "commit"])
def test_a_relay_that_begins_at_the_same_moment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commit, or already the fence, finds that somebody was faster. Nothing is written, and no traceback shown."""
    ensure_schema(settings)
    ensure_topics(settings)
    with open_producer(settings, 1 << 20) as other:
        fence = type(other).fence

        def overtaken(producer: FencedProducer) -> None:
            fence(producer)
            fence(other)
            if after == "fence":
                raise Fenced("another one was faster")

        monkeypatch.setattr(type(other), "fence", overtaken)
        monkeypatch.setattr("engagement_platform.settings.load", lambda _: settings)
        with pytest.raises(SystemExit, match="1"):
            cli.main(["checkpoint", "reset", "--at", "earliest", "--yes"])
    said = capsys.readouterr().err
    assert "A relay took over at the same moment" in said
    assert "again" in said
    assert relay_recovery.show(settings) == (None, None)


@pytest.mark.parametrize("lost", ["nothing", "checkpoint"])
@pytest.mark.parametrize("again", ["reset", "adopt"])
def test_the_schema_that_messages_have_is_kept(
    settings: Settings, source_db: SourceDatabase, again: str, lost: str
) -> None:
    ensure_schema(settings)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
        insert(writer, 3)
        drain(relay.run, settings)
    before = last_checkpoint(settings)
    assert before.schema == before.schemas == 1
    write_checkpoint(settings, schemas=3)
    if lost == "checkpoint":
        mirror.replace(settings, last_checkpoint(settings))
        if again == "reset":
            put(settings, JUNK)
    after = relay_recovery.adopt(settings) if again == "adopt" else relay_recovery.reset(settings, "latest")
    assert (after.schema, after.schema_hash, after.schemas) == (1, before.schema_hash, 3)
    assert after.schema_history == before.schema_history != NOTHING_KEPT
    assert last_checkpoint(settings) == after


def test_reset_keeps_the_ids_that_are_open(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn) as late, psycopg.connect(source_db.writer_dsn) as quick:
        insert(late)
        insert(quick)
        quick.commit()
        assert missing_ranges(relay_recovery.reset(settings, "latest")) == ((1, 1),)


def test_a_place_that_is_none_is_refused(settings: Settings) -> None:
    with pytest.raises(EngagementError, match="latest, earliest or an id"):
        relay_recovery.reset(settings, "yesterday")
