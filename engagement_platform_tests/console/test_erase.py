"""engagement-platform erase-user, as far as it needs no daemon of Dagster."""

from datetime import date
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.console.erase import erase_user
from engagement_platform.settings import Settings
from engagement_platform.stream.relay import loop as relay
from engagement_platform.stream.stage import loop as stage
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.warehouse import table_rows, write

STRANGE = [date(1999, 5, 5), date(2099, 1, 1)]


@pytest.mark.servers
@pytest.mark.usefixtures("in_environment")
def test_a_user_is_erased_from_days_that_dagster_does_not_know(settings: Settings, source_db: SourceDatabase) -> None:
    user = uuid4()
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        for day in STRANGE:
            write(owner, 1, day, user_id=user)
            write(owner, 1, day)
        drain(relay.run, settings)
        drain(stage.run, settings)
        owner.execute("DELETE FROM engagement_events WHERE user_id = %s", [user])
    only_said = CliRunner().invoke(erase_user, [str(user), "--dry-run"])
    assert "2 days of the warehouse hold events" in only_said.output
    assert len(table_rows(settings)) == 4
    done = CliRunner().invoke(erase_user, [str(user)])
    assert done.exit_code == 0, done.output
    assert all(f"{day} done" in done.output for day in STRANGE)
    assert [row["user_id"] for row in table_rows(settings)] == [None, None]
