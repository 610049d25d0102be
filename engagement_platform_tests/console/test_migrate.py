"""The command migrate."""

from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from engagement_platform.console.migrate import migrate
from engagement_platform.orchestration.instance import configuration
from engagement_platform.settings import Settings


@pytest.mark.usefixtures("in_environment")
def test_it_makes_what_is_missing_of_both_and_may_be_repeated(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text(configuration(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for _ in range(2):
        done = CliRunner().invoke(migrate)
        assert done.exit_code == 0, done.output
        assert "The tables of engagement are up to date" in done.output
        assert "Dagster's tables are up to date" in done.output
    with psycopg.connect(settings.platform.dsn.get_secret_value()) as connection:
        made = connection.execute("SELECT to_regclass('engagement_platform.stream_lease'), to_regclass('event_logs')")
        assert None not in (made.fetchone() or (None,))
