from pathlib import Path

import psycopg
import pytest

from engagement_platform.local import postgres, state
from engagement_platform.local.stack import Endpoints


@pytest.mark.parametrize("reachable", [True, False])
def test_data_stays_where_it_is_when_the_rights_of_its_folder_change(
    reachable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = state.StackState(tmp_path / "stack")
    known.save()
    monkeypatch.setattr(postgres, "_unprivileged_user", lambda: 12345)
    monkeypatch.setattr(postgres.Postgres, "_own", lambda self, path: None)
    monkeypatch.setattr(postgres, "_is_reachable", lambda path: reachable)
    chosen = postgres.Postgres(known)._home()
    (chosen / "data").mkdir()
    assert (chosen == known.folder / "postgres") == reachable

    monkeypatch.setattr(postgres, "_is_reachable", lambda path: not reachable)

    assert postgres.Postgres(state.load(known.folder))._home() == chosen
    known.delete()
    assert not chosen.exists()


def test_the_time_zone_is_not_the_machines(stack: Endpoints) -> None:
    with psycopg.connect(stack.admin_dsn) as session:
        row = session.execute("SELECT setting, source FROM pg_settings WHERE name = 'TimeZone'").fetchone()
    assert row == ("UTC", "command line")
