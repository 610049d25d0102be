"""Each loop tells as of when everything is where it brings it, without events, too; and what it has handled."""

import time
from pathlib import Path

import psycopg
from pydantic import SecretStr

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.kept import kept
from engagement_platform.adapters.platform.leases import totals
from engagement_platform.domain.progress import (
    AS_OF,
    BATCHES,
    BYTES,
    DEAD_LETTERS,
    DECLINED,
    EVENTS,
    FAILED,
    REQUESTS,
    TABLE_BYTES,
    TABLE_FILES,
    TABLE_ROWS,
)
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream.lease import LeaseControl
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import insert, lease_run, wait_for


def await_everything(controls: dict[str, LeaseControl]) -> None:
    """Wait until each loop has brought everything that is committed by now where it belongs."""
    now = time.time()
    for name, control in controls.items():
        progress = control.progress
        wait_for(lambda progress=progress: (progress.figures().gauge(AS_OF) or 0.0) > now, f"{name} to be up to date")  # type: ignore[misc]


def test_it_advances_with_events_and_without_and_what_is_kept_of_the_stream_is_told(
    settings: Settings, source_db: SourceDatabase, tmp_path: Path
) -> None:
    with Receiver() as partner, Session(settings, "test") as session:
        own = settings.replace(api_url=SecretStr(partner.url), warehouse_uri=str(tmp_path / "table"), stage_seconds=1)
        ensure_topics(own)
        begun = time.time()
        with (
            lease_run(own) as controls,
            psycopg.connect(source_db.writer_dsn, autocommit=True) as writer,
            psycopg.connect(source_db.writer_dsn) as open_one,
        ):
            await_everything(controls)
            insert(writer, 5)
            wait_for(lambda: len(partner.deliveries) == 5, "the events")
            await_everything(controls)
            figures = {name: control.progress.figures() for name, control in controls.items()}
            wait_for(lambda: controls["stage"].progress.figures().gauge(TABLE_ROWS) == 5, "the table's extent")
            insert(open_one, 1)  # its transaction stays open
            last = insert(writer, 1)[0]
            wait_for(lambda: (now := kept(own, session)).checkpoint_id == last and now.open_gaps == 1, "the open gap")
            await_everything(controls)
            present = kept(own, session)
            open_one.rollback()  # what is committed here would be published, or not, until the run ends
        assert (present.open_loads, present.due_days) == (0, 0)
        assert present.last_load_at is not None
        assert present.oldest_gap_at is not None
        assert present.checkpoint_at is not None
        assert begun - 60 < present.oldest_gap_at <= present.checkpoint_at <= time.time() + 1
        assert {name: told.count(EVENTS) for name, told in figures.items()} == dict.fromkeys(NAMES, 5)
        sizes = {told.count(BYTES) for told in figures.values()}
        assert len(sizes) == 1, "all of them count the bytes of the same messages"
        assert sizes.pop() > 5 * 100
        assert all(figures[name].count(BATCHES) >= 1 for name in ("relay", "tally", "stage"))
        forward = figures["forward"]
        assert [forward.count(one) for one in (FAILED, DECLINED, DEAD_LETTERS)] == [0, 0, 0]
        assert forward.count(REQUESTS) >= 1
        stage = controls["stage"].progress.figures()
        assert (stage.gauge(TABLE_FILES) or 0) >= 1
        assert (stage.gauge(TABLE_BYTES) or 0) > 0
        after = totals(session)
        assert {name: after[name].count(EVENTS) for name in NAMES} == dict.fromkeys(NAMES, 6)
