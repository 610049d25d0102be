"""Changes are noted before they are made, and behind them how they ended."""

import psycopg
import pytest

from engagement_platform.adapters.platform.audit import Audit
from engagement_platform.domain.errors import StreamStopped, Unavailable
from engagement_platform.settings import Settings


def test_a_change_is_noted_before_it_is_made_and_then_how_it_ended(settings: Settings) -> None:
    with Audit.opened(settings, "test") as audit:
        with audit.recorded("me from 127.0.0.1", "redrive", "forward", letters=3) as outcome:
            (begun,) = audit.latest(5)
            assert (begun.ended_at, begun.outcome) == (None, None)
            outcome.text = "3 letters"
        with pytest.raises(StreamStopped), audit.recorded("me", "pause", "tally"):
            raise StreamStopped("It cannot be.", "postgresql://someone:secret@host/db")
        failed, redriven = audit.latest(5)
        assert (redriven.who, redriven.action, redriven.subject) == ("me from 127.0.0.1", "redrive", "forward")
        assert (redriven.detail, redriven.outcome) == ({"letters": 3}, "3 letters")
        assert redriven.ended_at is not None
        assert failed.outcome is not None
        assert failed.outcome.startswith("failed: It cannot be.")
        assert "secret" not in failed.outcome
        assert [one.number for one in audit.latest(5, "redrive")] == [redriven.number]
        assert audit.latest(1) == [failed]


def test_nothing_is_changed_where_it_cannot_be_noted(settings: Settings) -> None:
    made = False
    with psycopg.connect(settings.platform.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("DROP TABLE engagement_platform.audit")
    with Audit.opened(settings, "test") as audit:
        with pytest.raises(Unavailable), audit.recorded("me", "pause", "tally"):
            made = True
        assert not made


def test_a_change_is_made_also_where_its_end_cannot_be_recorded(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with Audit.opened(settings, "test") as audit:
        with audit.recorded("me", "redrive", "letters") as outcome:
            audit.session.execute("ALTER TABLE {schema}.audit RENAME TO audit_away")
            outcome.text = "3 letters redriven"
        assert "How the redrive of letters ended is not recorded (3 letters redriven)" in caplog.text
        audit.session.execute("ALTER TABLE {schema}.audit_away RENAME TO audit")
        with pytest.raises(RuntimeError, match="its own"):
            _fail_without_the_table(audit)
        audit.session.execute("ALTER TABLE {schema}.audit_away RENAME TO audit")
        assert [(change.ended_at, change.outcome) for change in audit.latest(9)] == [(None, None)] * 2


def _fail_without_the_table(audit: Audit) -> None:
    with audit.recorded("me", "discard", "letters"):
        audit.session.execute("ALTER TABLE {schema}.audit RENAME TO audit_away")
        raise RuntimeError("its own")
