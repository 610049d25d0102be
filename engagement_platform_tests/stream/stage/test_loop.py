"""stage against the real servers: every event is in the table once, whatever happens in between."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from kafka import TopicPartition
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from engagement_platform.adapters.kafka.consumer import TopicReader
from engagement_platform.adapters.kafka.plain import send_all
from engagement_platform.adapters.kafka.producer import Message
from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.loads import Loads
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.delta.warehouse import DeltaWarehouse
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.errors import EngagementError, StreamStopped, Unavailable
from engagement_platform.domain.ids import IdRange
from engagement_platform.domain.loop_state import Activity
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import batch_files, loader, open_loads
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.faults.cuts import cutting
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.streaming import drain, read_all, running, wait_for
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS
from engagement_platform_tests.warehouse import DAY, NEXT, oracle_rows, source_ids, table_ids, table_rows, write


@pytest.fixture
def writer(source_db: SourceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def loads(settings: Settings) -> Iterator[Loads]:
    with Loads.opened(settings, "test") as made:
        yield made


@pytest.fixture
def rebuilds(loads: Loads) -> Rebuilds:
    return Rebuilds(loads.session)


@pytest.fixture
def due_days(loads: Loads) -> DueDays:
    return DueDays(loads.session)


def table_id(settings: Settings) -> str:
    return open_warehouse(settings).ensure(ENGAGEMENT_EVENTS)


def stream(settings: Settings) -> None:
    drain(relay.run, settings)
    drain(stage.run, settings)


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in batch_files.folder_of(settings).iterdir())


def test_every_event_is_in_the_table_once_with_its_values(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    content = writer.execute(
        "INSERT INTO content (id, slug, title, content_type, length_seconds, publish_ts) "
        "VALUES (gen_random_uuid(), 's', 'حلقة 😀', 'podcast', 7, now()) RETURNING id"
    ).fetchone()
    assert content is not None
    write(writer, 3, content_id=content[0], raw_payload=Jsonb({"كلمة": [1.5, None]}))
    write(writer, 3, NEXT, raw_payload=Jsonb("text"), duration_ms=-5)
    write(writer, 1, device=None, event_type=None, duration_ms=None, raw_payload=Jsonb(None))
    stream(settings)
    assert table_rows(settings) == oracle_rows(source_db)
    assert files(settings) == []


def test_what_is_loaded_is_not_loaded_again(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    ids = write(writer, 5)
    stream(settings)
    drain(stage.run, settings)
    ids += write(writer, 5)
    stream(settings)
    assert table_ids(settings) == ids


def test_batches_are_cut_by_size(settings: Settings, writer: psycopg.Connection[Any], loads: Loads) -> None:
    small = settings.replace(stage_batch_rows=10)
    ids = write(writer, 35)
    stream(small)
    assert table_ids(settings) == ids
    rows = [row["rows"] for row in loads.session.all("SELECT rows FROM engagement_platform.warehouse_load")]
    assert sum(rows) == len(ids)
    assert max(rows) <= 10


def test_batches_are_cut_by_age(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    often = settings.replace(stage_seconds=0.3)
    with running(relay.run, often), running(stage.run, often) as control:
        ids = write(writer, 3)
        wait_for(lambda: table_ids(settings) == ids, "the first batch")
        ids += write(writer, 3)
        wait_for(lambda: table_ids(settings) == ids, "the second batch")
        wait_for(lambda: int(control.progress.detail.get("batches", 0)) >= 2, "both to be told")
        assert control.progress.latency.present().count == 6


def test_what_is_no_event_is_rejected_with_its_reason_and_the_stream_goes_on(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = write(writer, 2)
    drain(relay.run, settings)
    send_all(settings.kafka, [Message(settings.topics.events, None, value) for value in (b"not JSON", b'{"id": 77}')])
    ids += write(writer, 2)
    stream(settings)
    assert table_ids(settings) == ids
    letters = [json.loads(record.value) for record in read_all(settings, settings.topics.dead_letters)]
    assert sorted((letter["source"], letter["event_id"]) for letter in letters if letter["event_id"]) == [("stage", 77)]
    # The two may lie in different partitions, of which either is read first.
    assert sorted(repr(letter.get("event")) for letter in letters) == ["None", repr({"id": 77})]
    (name,) = files(settings)
    assert name.endswith(".rejected")
    kept = [json.loads(line) for line in (batch_files.folder_of(settings) / name).read_text().splitlines()]
    assert {one["excerpt"] for one in kept} == {"not JSON", '{"id": 77}'}


def test_an_event_of_a_rebuilt_day_is_left_out_when_the_rebuild_had_it(
    rebuilds: Rebuilds, settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """Rows 1 and 3 were in the snapshot, 2 was open then and 4 came later; day NEXT was never rebuilt."""
    ids = write(writer, 4) + write(writer, 2, NEXT)
    drain(relay.run, settings)
    ensure_schema(settings)
    row = rebuilds.begin(table_id(settings), DAY, "run")
    assert row is not None
    rebuilds.cover(row.number, Coverage(3, (IdRange(2, 2),)))
    rebuilds.finish(row.number, 2)
    drain(stage.run, settings)
    assert table_ids(settings) == [2, 4, *ids[4:]]


def test_a_batch_waits_for_an_open_rebuild_of_its_days(
    rebuilds: Rebuilds, settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "SILENT_SECONDS", 60.0)  # nobody writes a heartbeat here
    drain(relay.run, settings)
    drain(stage.run, settings)
    often = settings.replace(stage_seconds=0.2)
    row = rebuilds.begin(table_id(settings), DAY, "run")
    assert row is not None
    with running(relay.run, often), running(stage.run, often) as control:
        write(writer, 3)
        wait_for(lambda: control.progress.state.subject == f"the rebuild of {DAY}", "the stage to wait")
        assert control.progress.state.is_healthy, "it is planned, and nobody has to be told"
        assert table_ids(settings) == []
        rebuilds.abandon(row.number)
        wait_for(lambda: table_ids(settings) == [1, 2, 3], "the batch")


def test_a_rebuild_whose_process_is_gone_is_settled(
    rebuilds: Rebuilds, settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its row would keep the day's events out for ever."""
    monkeypatch.setattr(loader, "SILENT_SECONDS", 0.5)
    ids = write(writer, 3)
    drain(relay.run, settings)
    drain(stage.run, settings)
    row = rebuilds.begin(table_id(settings), DAY, "killed")
    assert row is not None
    rebuilds.cover(row.number, Coverage(100))
    ids += write(writer, 3)
    stream(settings)
    assert table_ids(settings) == ids
    assert rebuilds.get(row.number).state == "abandoned"


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


@pytest.mark.parametrize("moment", ["before it is sent", "after it is sent"])
def test_a_stage_killed_around_the_load_is_continued(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    ids = write(writer, 5)
    drain(relay.run, settings)
    append = DeltaWarehouse.append

    def dies(self: DeltaWarehouse, load: Any, batch: Path) -> None:
        if moment == "after it is sent":
            append(self, load, batch)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(DeltaWarehouse, "append", dies)
        with pytest.raises(Killed):
            drain(stage.run, settings)
    ids += write(writer, 5)
    stream(settings)
    assert table_ids(settings) == ids


def test_a_stage_killed_between_the_load_and_its_note_is_continued(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write(writer, 5)
    drain(relay.run, settings)

    def dies(self: Loads, load: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Loads, "close_load", dies)
        with pytest.raises(Killed):
            drain(stage.run, settings)
    stream(settings)
    assert table_ids(settings) == ids


def test_two_stages_at_once_load_every_event_once(
    settings: Settings, writer: psycopg.Connection[Any], source_db: SourceDatabase
) -> None:
    often = settings.replace(stage_seconds=0.05)
    with running(relay.run, often), running(stage.run, often), running(stage.run, often):
        for _ in range(30):
            write(writer, 7)
        wait_for(lambda: len(table_ids(settings)) >= 210, "all events")
    assert table_ids(settings) == source_ids(source_db)


def test_an_open_load_is_completed_by_whoever_settles_it_and_its_process_changes_nothing_more(
    settings: Settings, writer: psycopg.Connection[Any], loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage freezes before it sends; a rebuild completes its load; the stage wakes up and sends."""
    ids = write(writer, 5)
    drain(relay.run, settings)
    append = DeltaWarehouse.append
    settled: list[Any] = []

    def freezes(self: DeltaWarehouse, load: Any, batch: Path) -> None:
        if not settled:
            settled.append(load)
            with Loads.opened(settings, "settler") as others:
                (open_load,) = others.open_loads(table_id(settings))
                open_loads.settle_load(open_warehouse(settings), others, open_load, settings)
        append(self, load, batch)

    monkeypatch.setattr(DeltaWarehouse, "append", freezes)
    drain(stage.run, settings)
    assert table_ids(settings) == ids
    assert loads.open_loads(table_id(settings)) == []


def test_another_topic_of_the_same_name_stops_with_what_to_run(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 3)
    stream(settings)
    with admin(settings.kafka) as client:
        client.delete_topics([settings.topics.events])
    wait_for(lambda: not _exists(settings), "the topic to be gone")
    ensure_topics(settings)
    with pytest.raises(StreamStopped, match="warehouse restart"):
        drain(stage.run, settings)


def test_the_lag_of_a_topic_that_is_gone_is_not_counted_in_the_new_one(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    write(writer, 3)
    drain(relay.run, settings)
    with running(stage.run, settings) as control:
        wait_for(lambda: control.progress.offsets, "a batch")
        with admin(settings.kafka) as client:
            client.delete_topics([settings.topics.events])
        wait_for(lambda: not _exists(settings), "the topic to be gone")
        ensure_topics(settings)
        wait_for(lambda: control.progress.state.kind is Activity.STOPPED, "it to stop")
        wait_for(lambda: control.progress.lag is None, "the lag to be unknown")


def _exists(settings: Settings) -> bool:
    with admin(settings.kafka) as client:
        return settings.topics.events in client.list_topics()


def test_messages_that_expired_make_their_days_due(
    due_days: DueDays, settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    first = write(writer, 3)
    stream(settings)
    write(writer, 2, NEXT)
    drain(relay.run, settings)
    with admin(settings.kafka) as client:
        client.delete_records(dict.fromkeys(_partitions(settings), -1))
    last = write(writer, 1)
    stream(settings)
    assert table_ids(settings) == first + last
    assert [due.day for due in due_days.all()] == [DAY, NEXT]


def test_a_late_commit_that_expired_makes_its_day_due(
    due_days: DueDays, settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    """Begun before the last load, committed while the stage stands still: its id lies below all that were loaded."""
    ensure_schema(settings)  # as the sensor does before the first run
    long_ago = DAY - timedelta(days=20)
    with psycopg.connect(source_db.writer_dsn) as late:
        write(late, 1, long_ago)
        write(writer, 3)
        stream(settings)
        late.commit()
    write(writer, 1, NEXT)
    drain(relay.run, settings)
    with admin(settings.kafka) as client:
        client.delete_records(dict.fromkeys(_partitions(settings), -1))
    drain(stage.run, settings)
    assert {due.day for due in due_days.all()} >= {long_ago, NEXT}


def test_a_load_keeps_from_when_on_it_has_not_read(
    settings: Settings, writer: psycopg.Connection[Any], loads: Loads
) -> None:
    write(writer, 20, content_id=None)
    stream(settings)
    last = loads.last_load(table_id(settings))
    assert last is not None
    assert last.unseen_at.keys() == set(range(settings.topics.partitions))
    newest = max(int(dict(record.headers)["unseen-at"]) for record in read_all(settings, settings.topics.events))
    assert set(last.unseen_at.values()) == {newest}, "all partitions were read to their ends"


def _partitions(settings: Settings) -> list[Any]:
    return [TopicPartition(settings.topics.events, number) for number in range(settings.topics.partitions)]


def test_a_table_that_somebody_altered_is_said_and_the_run_goes_on(
    settings: Settings, writer: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(settings.effective_warehouse_uri) / "engagement_events"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(EngagementError, match="engagement_events"):
        drain(stage.run, settings)
    with running(stage.run, settings) as control:
        wait_for(lambda: "engagement_events" in control.progress.state.reason, "the stage to say so")
    assert caplog.text.count("ERROR") <= 1


def ports(settings: Settings) -> dict[str, int]:
    database = urlsplit(settings.platform.dsn.get_secret_value()).port
    assert database is not None
    return {"platform database": database, "Kafka": int(settings.kafka.bootstrap_servers.rpartition(":")[2])}


@pytest.mark.parametrize("server", ["platform database", "both"])
def test_connections_that_are_cut_more_often_than_a_batch_is_due_do_not_stop_it(
    settings: Settings, writer: psycopg.Connection[Any], server: str
) -> None:
    often = settings.replace(stage_seconds=3.0, stage_batch_rows=5_000)
    ids = write(writer, 300) + write(writer, 5, NEXT)
    drain(relay.run, settings)
    chosen = [port for name, port in ports(settings).items() if server in (name, "both")]
    with cutting(chosen, every=1.5) as cuts, running(stage.run, often):
        wait_for(lambda: len(table_ids(settings)) >= len(ids), "the batches")
    assert sum(cuts) > 0
    assert table_ids(settings) == ids


def test_what_a_poll_took_when_it_failed_is_read_again(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages of different partitions may have moved on; none is left out, none comes twice."""
    ids = write(writer, 300)
    drain(relay.run, settings)
    poll: Any = TopicReader.poll
    fails: Iterator[bool] = iter([True, False, True, True])

    def takes_and_fails(self: TopicReader, timeout_ms: int, most: int) -> Any:
        records = poll(self, timeout_ms, most)
        if records and next(fails, False):
            raise Unavailable("Kafka does not answer.")
        return records

    monkeypatch.setattr(TopicReader, "poll", takes_and_fails)
    drain(stage.run, settings.replace(stage_batch_rows=50))
    assert not list(fails)
    assert table_ids(settings) == ids


def test_what_was_gathered_is_kept_when_the_database_fails_and_its_letters_are_written_once(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = write(writer, 3)
    drain(relay.run, settings)
    send_all(settings.kafka, [Message(settings.topics.events, None, b"not JSON")])
    seeks: list[Any] = []
    seek, admission = TopicReader.seek, Loads.admission
    fails = iter([True, True, True])

    def fails_thrice(self: Loads, table: str, days: Any) -> Any:
        if next(fails, False):
            raise Unavailable("The platform database does not answer.")
        return admission(self, table, days)

    monkeypatch.setattr(Loads, "admission", fails_thrice)

    def noted(self: TopicReader, offsets: Any, after: Any) -> None:
        seeks.append(dict(offsets))
        seek(self, offsets, after)

    monkeypatch.setattr(TopicReader, "seek", noted)
    drain(stage.run, settings)
    assert table_ids(settings) == ids
    assert len(seeks) == 4
    assert all(sum(offsets.values()) > 0 for offsets in seeks[1:])  # behind what is gathered
    assert len(list(read_all(settings, settings.topics.dead_letters))) == 1


def test_a_batch_folder_that_cannot_be_used_is_waited_for_and_what_others_put_there_stays(
    settings: Settings, writer: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    folder = settings.state_dir / batch_files.FOLDER
    folder.write_text("in the way")
    often = settings.replace(stage_seconds=0.2)
    ids = write(writer, 3)
    drain(relay.run, settings)
    with running(stage.run, often):
        wait_for(lambda: f"{batch_files.FOLDER} cannot be written" in caplog.text, "the stage to say so")
        folder.unlink()
        wait_for(lambda: table_ids(settings) == ids, "the batch")
    foreign = ["d.ndjson", "x.99999999999999999999.ndjson", "x.ndjson", "x.².ndjson"]
    (folder / "d.ndjson").mkdir()
    for name in foreign[1:]:
        (folder / name).write_text("mine")
    ids += write(writer, 3)
    stream(settings)
    assert table_ids(settings) == ids
    assert files(settings) == sorted(foreign)


def test_a_copy_of_the_database_from_before_stops_the_stage_and_the_remedy_loads_all_of_it(
    settings: Settings, writer: psycopg.Connection[Any], stack: Endpoints, source_db: SourceDatabase
) -> None:
    """As when one goes back to a version before this one, with the copy that was made before the upgrade."""
    write(writer, 3)
    stream(settings)
    with copied(settings, stack) as before:
        write(writer, 2)
        stream(settings)
        write(writer, 1)
        drain(relay.run, before)
        with pytest.raises(StreamStopped, match="another load under number") as stopped:
            drain(stage.run, before)
        assert "move the folders of all the platform's tables away" in stopped.value.todo
        shutil.rmtree(settings.effective_warehouse_uri)
        drain(stage.run, before)
        assert table_ids(before) == source_ids(source_db)


@contextmanager
def copied(settings: Settings, stack: Endpoints) -> Iterator[Settings]:
    """Settings with a copy of the platform's database as it is now."""
    dsn = settings.platform.dsn.get_secret_value()
    name = urlsplit(dsn).path[1:]
    with psycopg.connect(stack.admin_dsn, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}_before" TEMPLATE "{name}"'.encode())
        admin.execute(f'GRANT ALL ON DATABASE "{name}_before" TO PUBLIC'.encode())
        try:
            yield settings.replace(platform_dsn=SecretStr(dsn.replace(name, f"{name}_before")))
        finally:
            admin.execute(f'DROP DATABASE "{name}_before" WITH (FORCE)'.encode())
