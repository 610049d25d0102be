"""One session for all stores: made when needed and anew after an error, shared, in one transaction where asked."""

from contextlib import suppress

import pytest

from engagement_platform.adapters.platform.connection import NoTable, Session, connect_platform
from engagement_platform.adapters.platform.dead_letters import open_actions
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.adapters.platform.rebuilds import DueDays
from engagement_platform.domain.errors import EngagementError, Unavailable
from engagement_platform.settings import Settings


def end_sessions(settings: Settings, purpose: str) -> None:
    """End the sessions of a purpose in this database, as the server's administrator may."""
    with connect_platform(settings, "test") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = %s",
            [f"engagement-{purpose}"],
        )


def test_stores_share_a_connection_which_is_made_when_it_is_needed(migrated: Settings) -> None:
    with Session(migrated, "test") as session:
        leases, pauses = Leases(session), Pauses(session)
        assert not session.is_connected
        assert leases.latest().lease is None
        assert pauses.pause("tally", "me", "")
        assert session.connections == 1
    assert not session.is_connected


def test_a_session_that_breaks_fails_once_and_is_made_anew(migrated: Settings) -> None:
    with Session(migrated, "breaks") as session:
        pauses = Pauses(session)
        assert pauses.present() == {}
        end_sessions(migrated, "breaks")
        with pytest.raises(Unavailable):
            pauses.present()
        assert pauses.present() == {}
        assert session.connections == 2


def test_what_a_transaction_has_done_is_undone_when_it_raises(migrated: Settings) -> None:
    with Session(migrated, "test") as session:
        pauses = Pauses(session)
        with suppress(ZeroDivisionError), session.transaction():
            pauses.pause("tally", "me", "")
            _ = 1 / 0
        assert pauses.present() == {}
        with session.transaction():
            pauses.pause("tally", "me", "")
        assert set(pauses.present()) == {"tally"}


def test_a_table_that_is_missing_is_told_from_a_server_that_is(bare: Settings) -> None:
    with DueDays.opened(bare, "test") as due_days, pytest.raises(NoTable, match="day_due"):
        due_days.all()


def test_who_acts_on_letters_alone_does_so_over_a_new_connection_too(migrated: Settings) -> None:
    with open_actions(migrated, "topic", alone=True) as actions:
        end_sessions(migrated, "letters")
        with pytest.raises(Unavailable):
            actions.all()
        assert actions.all() == {}
        with pytest.raises(EngagementError, match="Somebody else"), open_actions(migrated, "topic", alone=True):
            pass
