"""The copy of the checkpoint in the platform database."""

import pytest
from pydantic import SecretStr

from engagement_platform.adapters import repeated
from engagement_platform.adapters.platform import connection, mirror
from engagement_platform.adapters.platform.connection import connect_platform
from engagement_platform.domain.checkpoint import Checkpoint, SourceIdentity
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform_tests.streaming import wait_for


def checkpoint(hi: int, generation: int = 0) -> Checkpoint:
    return Checkpoint(source=SourceIdentity("1", 1, "media"), hi=hi, missing=[], unseen_at=0, generation=generation)


def test_there_is_no_copy_before_the_first(migrated: Settings) -> None:
    assert mirror.read(migrated) is None


def test_there_is_no_copy_without_the_schema(bare: Settings) -> None:
    assert mirror.read(bare) is None


def test_an_operator_may_set_it_lower_and_an_overtaken_relay_may_not(migrated: Settings) -> None:
    mirror.replace(migrated, checkpoint(5))
    mirror.replace(migrated, checkpoint(3, generation=1))
    with mirror.Mirror(migrated) as copy:
        copy.record(checkpoint(9))
    assert mirror.read(migrated) == checkpoint(3, generation=1)


def test_what_was_recorded_last_is_there_after_closing(migrated: Settings) -> None:
    with mirror.Mirror(migrated) as copy:
        copy.record(checkpoint(1))
        copy.record(checkpoint(2))
    assert mirror.read(migrated) == checkpoint(2)


def test_a_database_that_is_not_there(bare: Settings) -> None:
    gone = bare.replace(platform_dsn=SecretStr("postgresql://127.0.0.1:1/x"))
    with pytest.raises(Unavailable):
        mirror.replace(gone, checkpoint(1))
    with pytest.raises(Unavailable):
        mirror.Mirror(gone).last(required=True)
    assert mirror.Mirror(gone).last(required=False) is None


def test_the_thread_survives_whatever_a_write_raises(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = [MemoryError("no more"), ValueError("nobody thought of this")]

    def fail(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return connect_platform(migrated, "test")

    monkeypatch.setattr(repeated, "FAULT_SECONDS", 0.1)
    with mirror.Mirror(migrated) as copy, monkeypatch.context() as patch:
        patch.setattr(connection, "connect_platform", fail)
        copy.record(checkpoint(1))
        wait_for(lambda: not failures, "the failures")
        wait_for(lambda: mirror.read(migrated) == checkpoint(1), "the copy, in spite of them")
