import os
import subprocess
import sys
from pathlib import Path

from engagement_platform_tests.shell import forget

TESTS = Path(__file__).parent

HOSTILE = {
    "ENGAGEMENT_TOPIC": "of-the-shell",
    "ENGAGEMENT_LEASE_SECONDS": "no number",
    "DAGSTER_HOME": "/nowhere",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGSSLMODE": "verify-full",
    "http_proxy": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
}


def test_what_is_for_the_tests_stays() -> None:
    environment = HOSTILE | {"ENGAGEMENT_TEST_NEWCOMER": "1", "PATH": "/bin", "HOME": "/root"}
    forget(environment)
    assert environment.keys() >= {"ENGAGEMENT_TEST_NEWCOMER", "PATH", "HOME", "TZ", "http_proxy"}
    assert not environment.keys() & {"ENGAGEMENT_TOPIC", "ENGAGEMENT_LEASE_SECONDS", "DAGSTER_HOME", "PGOPTIONS"}


def test_tests_pass_in_a_shell_that_is_set_up_for_something_else(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **HOSTILE}
    files = ["test_settings.py", "local/test_receiver.py", "domain/test_days.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(TESTS / file) for file in files)]
    done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
