"""An earlier copy of the source is put back: same system, same timeline, and other rows under published ids."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from engagement_platform.adapters import streams
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.marks import marked_columns
from engagement_platform.local.stack import Endpoints
from engagement_platform.recovery import relay as relay_recovery
from engagement_platform.settings import STREAM, Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests import daemons
from engagement_platform_tests.conftest import SourceDatabase, make_settings, make_source
from engagement_platform_tests.stream.relay.sources import last_checkpoint, published, unsee, write_checkpoint, writer
from engagement_platform_tests.streaming import drain, insert, read_all
from engagement_platform_tests.streams import PACKAGED

__all__ = ["writer"]


def restart_server(settings: Settings) -> None:
    """Let the checkpoint be of a server that has started anew since."""
    source = last_checkpoint(settings).source
    write_checkpoint(settings, source=msgspec.structs.replace(source, started=source.started - 1))


def put_back(writer: psycopg.Connection[Any], last: int) -> None:
    """What a copy of a moment ago leaves: the rows up to an id, and the sequence where it was."""
    writer.execute("DELETE FROM engagement_events WHERE id > %s", [last])
    writer.execute("SELECT setval('engagement_events_id_seq', %s, %s)", [max(last, 1), last > 0])


@pytest.mark.parametrize("sees_sequence", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize(("published_rows", "lost"), [(20, 1), (20, 7), (400, 60), (5, 5)])
def test_other_rows_under_published_ids_stop_the_stream_and_the_remedy_publishes_them(
    settings: Settings,
    writer: psycopg.Connection[Any],
    published_rows: int,
    lost: int,
    sees_sequence: bool,
) -> None:
    if not sees_sequence:
        unsee(writer)
    insert(writer, published_rows)
    drain(relay.run, settings.replace(relay_batch_rows=10))
    restart_server(settings)
    put_back(writer, published_rows - lost)
    others = insert(writer, lost + 40)
    with pytest.raises(StreamStopped, match="other rows than before") as stopped:
        drain(relay.run, settings)
    remedy = stopped.value.todo.split("--at ")[1].split(";")[0] if "--at" in stopped.value.todo else "earliest"
    relay_recovery.reset(settings, remedy)
    drain(relay.run, settings)
    after = published(settings)
    assert all(after.count(one) >= 2 for one in others if one <= published_rows), "each row under a used id came"
    assert set(after) == set(range(1, published_rows + 41))
    begun_at = int(remedy) if remedy.isdecimal() else 0
    assert published_rows - lost - begun_at <= 2 * lost, "few come twice"
    assert drain(relay.run, settings).progress.events == 0


def test_rows_that_were_updated_or_deleted_before_a_restart_of_the_server_do_not_stop_the_stream(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = insert(writer, 30)
    drain(relay.run, settings)
    restart_server(settings)
    writer.execute("UPDATE engagement_events SET duration_ms = 5, device = 'tv', raw_payload = NULL")
    writer.execute("DELETE FROM engagement_events WHERE id IN (2, 25, 29, 30)")
    drain(relay.run, settings)
    ids += insert(writer, 2)
    drain(relay.run, settings)
    assert published(settings) == ids


def test_a_row_that_commits_late_under_a_published_id_is_published(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    """The application is back first, and its transaction is open when the relay looks."""
    insert(writer, 10)
    drain(relay.run, settings)
    restart_server(settings)
    put_back(writer, 8)
    with psycopg.connect(writer.info.dsn, password=writer.info.password) as late:
        assert insert(late, 2) == [9, 10]
        insert(writer)
        drain(relay.run, settings)
        late.commit()
    drain(relay.run, settings)
    assert published(settings) == [*range(1, 9), 9, 9, 10, 10, 11]


def test_rows_that_only_seem_to_be_others_are_adopted_when_an_operator_says_so(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    ids = insert(writer, 30)
    drain(relay.run, settings)
    restart_server(settings)
    writer.execute("UPDATE engagement_events SET event_ts = event_ts - interval '1 hour'")
    with pytest.raises(StreamStopped, match="adopt --force"):
        drain(relay.run, settings)
    with pytest.raises(StreamStopped, match="adopt --force"):
        relay_recovery.adopt(settings)
    relay_recovery.adopt(settings, force=True)
    drain(relay.run, settings)
    ids += insert(writer, 2)
    drain(relay.run, settings)
    assert published(settings) == ids


@pytest.mark.parametrize("lost", [0, 2])
def test_a_replica_that_took_over_is_adopted_with_what_it_did_not_get(
    settings: Settings, writer: psycopg.Connection[Any], lost: int
) -> None:
    insert(writer, 30)
    drain(relay.run, settings)
    write_checkpoint(settings, source=msgspec.structs.replace(last_checkpoint(settings).source, timeline=7))
    put_back(writer, 30 - lost)
    with pytest.raises(StreamStopped, match="timeline 7"):
        drain(relay.run, settings)
    relay_recovery.adopt(settings)
    drain(relay.run, settings)
    rows = insert(writer, 4)
    for _ in range(2):
        drain(relay.run, settings)
    assert published(settings) == sorted([*range(1, 31), *rows])


@pytest.mark.slow
def test_a_copy_of_the_data_folder_is_put_back(own_stack_folder: Path, own_stack: Endpoints) -> None:
    """The application is back first and writes 100 rows, more than the 60 that were lost."""
    source = make_source(own_stack)[1]
    settings = make_settings(own_stack, source.dsn, own_stack.platform_dsn)
    server = daemons.server(own_stack_folder, "postgres")
    data, copy = own_stack_folder / "postgres" / "data", own_stack_folder / "copy"
    write(source, 100)
    drain(relay.run, settings)
    server.daemon.stop(server.stop_signal)
    subprocess.run(["cp", "-a", data, copy], check=True)
    server.start()
    write(source, 60)
    drain(relay.run, settings)
    server.daemon.stop(server.stop_signal)
    shutil.rmtree(data)
    copy.rename(data)
    server.start()
    write(source, 100)
    with pytest.raises(StreamStopped, match="checkpoint reset --at 100;"):
        drain(relay.run, settings)
    relay_recovery.reset(settings, "100")
    drain(relay.run, settings)
    with psycopg.connect(source.writer_dsn) as reader:
        users = {row[0] for row in reader.execute("SELECT user_id::text FROM engagement_events")}
    sent = [msgspec.json.decode(record.value)["user_id"] for record in read_all(settings, settings.topics.events)]
    assert users <= set(sent)
    assert len(sent) == len(set(sent)) == 100 + 60 + 100


def write(source: SourceDatabase, rows: int) -> None:
    with psycopg.connect(source.writer_dsn, autocommit=True) as connection:
        for _ in range(rows):
            insert(connection)


def deploy_user(monkeypatch: pytest.MonkeyPatch, column: str) -> None:
    """Name another column as that of the user: in stream.toml, `[warehouse] user`."""
    monkeypatch.setattr(streams, "streams", lambda: {STREAM: replace(PACKAGED, user=column)})


def test_rows_are_the_same_where_another_column_is_that_of_the_user(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(writer, 20)
    drain(relay.run, settings)
    restart_server(settings)
    deploy_user(monkeypatch, "device")
    insert(writer, 1)
    drain(relay.run, settings)
    assert published(settings) == list(range(1, 22))
    assert last_checkpoint(settings).marked_by[0] == ("event_ts", "device", "content_id")
    restart_server(settings)
    put_back(writer, 18)
    insert(writer, 10)
    deploy_user(monkeypatch, "user_id")
    with pytest.raises(StreamStopped, match="other rows than before"):
        drain(relay.run, settings)


def test_what_a_version_before_has_marked_is_taken_for_marked_by_the_columns_of_now(
    settings: Settings, writer: psycopg.Connection[Any]
) -> None:
    insert(writer, 20)
    drain(relay.run, settings)
    write_checkpoint(settings, marked_by=((), ()))
    restart_server(settings)
    insert(writer, 1)
    drain(relay.run, settings)
    assert published(settings) == list(range(1, 22))
    assert last_checkpoint(settings).marked_by == marked_columns(PACKAGED)


@pytest.mark.parametrize("named", ["device", None])
def test_rows_are_the_same_where_the_column_of_the_user_goes_and_another_is_named(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    """In one deploy: the marks were made of a column that no message has any more."""
    insert(writer, 20)
    drain(relay.run, settings)
    restart_server(settings)
    assert "       event.user_id,\n" in PACKAGED.enriched
    stream = replace(PACKAGED, user=named, enriched=PACKAGED.enriched.replace("       event.user_id,\n", ""))
    monkeypatch.setattr(streams, "streams", lambda: {STREAM: stream})
    insert(writer, 1)
    drain(relay.run, settings)
    assert published(settings) == list(range(1, 22))
    assert "user_id" not in last_checkpoint(settings).marked_by[0]
    restart_server(settings)
    put_back(writer, 18)
    insert(writer, 10)
    with pytest.raises(StreamStopped, match="other rows than before"):
        drain(relay.run, settings)


def test_rows_that_are_gone_are_noticed_where_the_column_of_the_user_goes_too(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(writer, 20)
    drain(relay.run, settings)
    restart_server(settings)
    put_back(writer, 0)
    stream = replace(PACKAGED, user=None, enriched=PACKAGED.enriched.replace("       event.user_id,\n", ""))
    monkeypatch.setattr(streams, "streams", lambda: {STREAM: stream})
    with pytest.raises(StreamStopped):
        drain(relay.run, settings)
