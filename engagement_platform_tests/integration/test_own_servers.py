"""docs/own-servers.md, done as it stands there: the wheel, `init`, the settings, `doctor`, and the unit's command."""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.redis.views import Views
from engagement_platform.console.folder.write import contents
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.integration.test_package import OF_THIS_PROJECT_ONLY, PIP, built
from engagement_platform_tests.streaming import wait_for
from engagement_platform_tests.streams import PACKAGED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-servers.md").read_text()
UNIT, PAGE_UNIT = "engagement-platform.service", "engagement-platform-page.service"

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(700)]


def fill_in(file: Path, values: Mapping[str, str]) -> None:
    """Set settings in a .env as its reader would: what is there, or behind a #, gets the value."""
    text = file.read_text()
    for name, value in values.items():
        (line,) = (line for line in text.splitlines() if line.lstrip("#").startswith(f"{name}="))
        text = text.replace(f"\n{line}\n", f"\n{name}={shlex.quote(value)}\n")
    file.write_text(text)


def sourced(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that `set -a; . ./.env; set +a` gives."""
    script = "set -a; . ./.env; set +a; env -0"
    said = subprocess.run(["sh", "-c", script], cwd=folder, env=dict(environment), capture_output=True, check=True)
    return dict(pair.split("=", 1) for pair in said.stdout.decode().split("\0") if pair)


def of_unit(folder: Path, name: str) -> str:
    (value,) = (
        v for k, _, v in (line.partition("=") for line in (folder / UNIT).read_text().splitlines()) if k == name
    )
    return value


@contextmanager
def service(folder: Path, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Run what the unit runs, and stop it as systemd would."""
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(
            shlex.split(of_unit(folder, "ExecStart").replace("-p 3000", "-p 0")),
            cwd=of_unit(folder, "WorkingDirectory"),
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    members: list[psutil.Process] = [process]
    try:
        yield process
        assert of_unit(folder, "KillMode") == "control-group", "every process gets the signal"
        members += process.children(recursive=True)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.Signals[of_unit(folder, "KillSignal")])
        _, alive = psutil.wait_procs(members, float(of_unit(folder, "TimeoutStopSec")))
        assert not alive, "the service did not end in time"
    finally:
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()


@pytest.fixture
def platform_db(empty_platform_db: str) -> str:
    """Empty, as at a first start."""
    return empty_platform_db


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The wheel alone, unpacked."""
    (tmp_path / "dist").mkdir()
    site = tmp_path / "site"
    subprocess.run(
        [*PIP, "install", *OF_THIS_PROJECT_ONLY, "--target", site, built(ROOT, tmp_path / "dist")], check=True
    )
    return site


def registered(settings: Settings) -> set[str]:
    """Return the loops of which the platform database knows."""
    with suppress(Unavailable), Leases.opened(settings, "test") as leases:
        return {loop.name for loop in leases.snapshot().loops}
    return set()


@pytest.mark.newcomer
def test_from_the_wheel_to_the_first_event(
    settings: Settings, source_db: SourceDatabase, site: Path, tmp_path: Path
) -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    home = tmp_path / "srv"
    command = [sys.executable, "-m", "engagement_platform"]
    made = subprocess.run([*command, "init", home], env=bare, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in made.stdout.splitlines()[:4]] == ["wrote"] * 4
    before = subprocess.run(
        [*command, "doctor"], env=sourced(home, bare), cwd=home, capture_output=True, text=True, check=False
    )
    assert before.returncode == 1
    assert "ENGAGEMENT_SOURCE_DSN" in before.stdout
    fill_in(
        home / ".env",
        {
            "ENGAGEMENT_SOURCE_DSN": settings.source.dsn.get_secret_value(),
            "ENGAGEMENT_PLATFORM_DSN": settings.platform.dsn.get_secret_value(),
            "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "ENGAGEMENT_REDIS_URL": settings.redis.url.get_secret_value(),
            "ENGAGEMENT_REDIS_NAMESPACE": settings.redis.namespace,
            "ENGAGEMENT_TOPIC": settings.topics.events,
            "ENGAGEMENT_CHECKPOINT_TOPIC": settings.topics.checkpoint,
            "ENGAGEMENT_DEAD_LETTER_TOPIC": settings.topics.dead_letters,
            "ENGAGEMENT_REPLAY_TOPIC": settings.topics.replays,
        },
    )
    again = subprocess.run([*command, "init", home], env=bare, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in again.stdout.splitlines()[:4]] == ["kept"] * 4, "nothing is replaced"
    environment = sourced(home, bare)
    doctor = subprocess.run(
        [*command, "doctor"], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert doctor.returncode == 0, doctor.stdout
    with service(home, environment), psycopg.connect(source_db.writer_dsn) as writer:

        def status() -> str:
            asked = [*command, "status"]
            return subprocess.run(asked, env=environment, cwd=home, capture_output=True, text=True, check=False).stdout

        wait_for(lambda: registered(settings) == set(NAMES), "every loop", 300)  # costs less than a command each time
        wait_for(lambda: status().startswith("All well."), "all to be well")  # the relay begins with the next event
        with closing(Views.connect(settings)) as views:
            writer.execute("INSERT INTO engagement_events (event_type, event_ts) VALUES ('play', now())")
            writer.commit()
            wait_for(lambda: views.totals().count == 1, "the event")
    assert (home / "state").is_dir(), "files in transit lie in the folder"


def test_the_secrets_are_for_their_owner_and_the_two_settings_stand_apart(tmp_path: Path) -> None:
    files = contents(tmp_path, Path(sys.executable), "me")
    text, mode = files[".env"]
    assert stat.S_IMODE(mode) == 0o600
    assert [line for line in text.splitlines() if line and not line.startswith("#")][:2] == [
        "ENGAGEMENT_SOURCE_DSN=",
        "ENGAGEMENT_PLATFORM_DSN=",
    ]
    assert text.count("ENGAGEMENT_SOURCE_DSN=") == 1
    assert f'base_dir: "{tmp_path}/state/dagster"' in files["dagster.yaml"][0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", [UNIT, PAGE_UNIT])
def test_systemd_understands_the_unit(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").touch()
    unit = tmp_path / name
    unit.write_text(contents(tmp_path, Path(sys.executable), "root")[name][0])
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert str(unit) not in checked.stderr


def test_the_page_lists_the_source_as_it_is_compared() -> None:
    for table, columns in PACKAGED.tables.items():
        (listed,) = (part for part in PAGE.split(f"`{table}`:\n")[1:])
        rows = [line for line in listed.lstrip().split("\n\n")[0].splitlines() if line.startswith("| `")]
        assert rows == [
            f"| `{c.name}` | {c.form.value} | {'yes' if c.nullable else 'no'} | {c.meaning} |" for c in columns
        ]
