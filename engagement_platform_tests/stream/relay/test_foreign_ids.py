"""Rows under ids that the sequence has not given: each is published once, and no other is lost."""

from typing import Any

import psycopg
import pytest

from engagement_platform.domain.errors import StreamStopped
from engagement_platform.recovery import relay as relay_recovery
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.relay import source_watch
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.stream.relay.sources import (
    another,
    last_checkpoint,
    published,
    relaying,
    unsee,
    wait_until_stopped,
    writer,
)
from engagement_platform_tests.streaming import drain, insert, wait_for

__all__ = ["writer"]

FAR = 5_000_000_000


def write(writer: psycopg.Connection[Any], *ids: int) -> list[int]:
    """Insert rows under ids that are chosen by somebody."""
    statement = "INSERT INTO engagement_events (id, event_ts) SELECT unnest(%s::bigint[]), now()"
    writer.execute(statement, [list(ids)])
    return list(ids)


@pytest.mark.parametrize("sees_sequence", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("foreign", [(FAR,), (9,), (FAR, FAR + 1, FAR + 9, 2**63 - 1), (25, 30, FAR)])
def test_a_foreign_id_is_published_once_and_hides_no_other(
    settings: Settings,
    source_db: SourceDatabase,
    writer: psycopg.Connection[Any],
    foreign: tuple[int, ...],
    sees_sequence: bool,
) -> None:
    if not sees_sequence:
        unsee(writer)
    ids = insert(writer, 5)
    drain(relay.run, settings)
    ids += write(writer, *foreign)
    drain(relay.run, settings)
    with another(source_db) as late, another(source_db) as lost:
        late_ids = insert(late)
        insert(lost)
        ids += insert(writer)
        for _ in range(3):
            drain(relay.run, settings)
        lost.rollback()
        late.commit()
    drain(relay.run, settings)
    assert published(settings) == sorted([*ids, *late_ids])
    for _ in range(40):
        try:
            ids += insert(writer)
        except psycopg.errors.UniqueViolation:
            assert max(ids) in foreign
    for _ in range(2):
        drain(relay.run, settings)
    assert published(settings) == sorted([*ids, *late_ids])


def test_a_running_relay_keeps_its_pace_behind_many_foreign_ids(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = insert(writer, 3)
    foreign = [*range(FAR, FAR + 3_000), *range(2 * FAR, 2 * FAR + 200, 2)]
    with relaying(settings, monkeypatch) as control:
        wait_for(lambda: control.progress.events == 3, "the first rows")
        write(writer, *foreign)
        wait_for(lambda: control.progress.events == 3 + len(foreign), "the foreign rows")
        for _ in range(20):
            ids += insert(writer, 2)
        wait_for(lambda: control.progress.events == len(ids) + len(foreign), "the rows that follow")
        assert control.progress.lag == 0
    assert published(settings) == sorted(ids + foreign)
    assert last_checkpoint(settings).numbered == ids[-1]


@pytest.mark.parametrize("sees_sequence", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("begin", ["start", "reset"])
def test_a_begin_at_the_newest_event_is_not_led_past_the_sequence(
    settings: Settings, writer: psycopg.Connection[Any], begin: str, sees_sequence: bool
) -> None:
    if not sees_sequence:
        unsee(writer)
    insert(writer, 3)
    write(writer, FAR)
    latest = settings.replace(start="latest")
    if begin == "reset":
        relay_recovery.reset(settings, "latest")
    drain(relay.run, latest)
    ids = insert(writer, 3)
    drain(relay.run, latest)
    ids += write(writer, FAR + 1)
    drain(relay.run, latest)
    assert published(settings) == sorted(ids)


@pytest.mark.parametrize("sees_sequence", [True, False], ids=["seen", "unseen"])
def test_the_foreign_row_may_be_deleted_again(
    settings: Settings, writer: psycopg.Connection[Any], sees_sequence: bool
) -> None:
    if not sees_sequence:
        unsee(writer)
    ids = [*insert(writer, 3), *write(writer, FAR)]
    drain(relay.run, settings)
    writer.execute("DELETE FROM engagement_events WHERE id = %s", [FAR])
    ids += insert(writer, 3)
    for _ in range(2):
        drain(relay.run, settings)
    writer.execute("GRANT SELECT ON SEQUENCE engagement_events_id_seq TO engagement_reader")
    ids += insert(writer, 3)
    for _ in range(2):
        drain(relay.run, settings)
    assert published(settings) == sorted(ids)


def test_the_sequence_may_become_visible_and_invisible_while_the_stream_runs(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_watch, "LOOK_SECONDS", 0.05)
    ids = [*insert(writer, 3), *write(writer, FAR)]
    with relaying(settings, monkeypatch) as control:

        def wait() -> None:
            wait_for(lambda: control.progress.events == len(ids), "what was written")

        for right in ("REVOKE", "GRANT", "REVOKE", "GRANT"):
            wait()
            direction = "FROM" if right == "REVOKE" else "TO"
            statement = f"{right} SELECT ON SEQUENCE engagement_events_id_seq {direction} engagement_reader"
            writer.execute(statement.encode())
            ids += insert(writer, 2)
            ids += write(writer, max(ids) + 1)
        wait()
    assert published(settings) == sorted(ids)


@pytest.mark.parametrize("low", [0, -7, -(2**63)])
def test_rows_below_the_first_id_are_published_from_the_earliest_and_no_reset_ends_at_them(
    settings: Settings, writer: psycopg.Connection[Any], low: int
) -> None:
    insert(writer, 3)
    write(writer, low)
    relay_recovery.reset(settings, "latest")
    ids = insert(writer, 2)
    drain(relay.run, settings)
    assert published(settings) == ids
    if low > -(2**63):  # there is no number below the lowest
        relay_recovery.reset(settings, "earliest")
        drain(relay.run, settings)
        assert published(settings) == sorted([low, 1, 2, 3, *ids, *ids])


def test_a_sequence_may_begin_below_zero(
    settings: Settings, source_db: SourceDatabase, writer: psycopg.Connection[Any]
) -> None:
    writer.execute("ALTER SEQUENCE engagement_events_id_seq MINVALUE -10 RESTART -5")
    drain(relay.run, settings)
    with another(source_db) as late:
        ids = [*insert(late), *insert(writer, 9)]
        drain(relay.run, settings)
        late.commit()
    drain(relay.run, settings)
    assert ids[0] == -5
    assert published(settings) == ids


def test_a_sequence_that_starts_over_below_zero_is_adopted(settings: Settings, writer: psycopg.Connection[Any]) -> None:
    """As owners do whose column of 32 bits is nearly full."""
    ids = insert(writer, 3)
    drain(relay.run, settings)
    writer.execute("ALTER SEQUENCE engagement_events_id_seq MINVALUE -2147483648 RESTART -2147483648")
    with pytest.raises(StreamStopped, match="was set back"):
        drain(relay.run, settings)
    relay_recovery.adopt(settings)
    ids += insert(writer, 3)
    for _ in range(2):
        drain(relay.run, settings)
    assert published(settings) == sorted(ids)


def test_ids_that_no_sequence_gives_stop_the_stream_with_what_the_owner_can_do(
    settings: Settings, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_watch, "MAX_FOREIGN_RANGES", 50)
    ids = insert(writer, 3)
    with relaying(settings, monkeypatch) as control:
        wait_for(lambda: control.progress.events == 3, "the first rows")
        ids += write(writer, *range(FAR, FAR + 200, 2))
        assert "setval" in wait_until_stopped(control).remedy
        writer.execute("SELECT setval('engagement_events_id_seq', (SELECT max(id) FROM engagement_events))")
        ids += insert(writer, 2)
        wait_for(lambda: len(published(settings)) >= len(ids), "all rows")
    drain(relay.run, settings)
    assert published(settings) == ids
