"""A loop whose run waits for its turn: what is cut meanwhile is connected anew before the turn comes."""

import logging
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from engagement_platform.adapters.source import reader
from engagement_platform.settings import Settings
from engagement_platform.stream.control import Standalone, look_at_nothing
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import insert, read_all, running, wait_for

pytestmark = pytest.mark.servers


class Waiting(Standalone):
    """Its turn comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = threading.Event()
        self._claims = 0
        self._held_in = 0

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        self._claims += 1
        while not self.turn.wait(0.02) and not self.should_stop():
            look()
            self._held_in = self._claims

    def until_held_in(self, claim: int) -> None:
        """Return once its connections have held in the claim of that number."""
        wait_for(lambda: self._held_in == claim, f"connections that hold in claim {claim}")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the loops warned of, without what was there before the last call."""
    with caplog.at_level(logging.WARNING, "engagement_platform"):

        def news() -> list[str]:
            lines = [record.message for record in caplog.records if record.name.startswith("engagement_platform.")]
            caplog.clear()
            return lines

        yield news


def test_a_relay_whose_session_was_cut_while_it_waited_has_another_when_its_turn_comes(
    settings: Settings, source_db: SourceDatabase, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PING_SECONDS", 60)
    with (
        psycopg.connect(source_db.admin_dsn, autocommit=True) as admin,
        psycopg.connect(source_db.writer_dsn, autocommit=True) as writer,
        running(relay.run, settings, control := Waiting()),
    ):
        control.until_held_in(1)
        said()
        assert admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'engagement-relay'"
        ).fetchone() == (1,)
        control.until_held_in(2)
        lines = said()
        assert [" Waiting for it;" in line or " answers again " in line for line in lines] == [True, True], lines
        control.turn.set()
        ids = insert(writer, 3)
        wait_for(lambda: len(read_all(settings, settings.topics.events)) == len(ids), "its events")
        assert said() == []
