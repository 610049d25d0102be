"""The image's last stage and the compose file's services, really run: see `scratch` for what stands in for Docker.

The whole of it, packages installed from the lock and events on their way, is `make test-docker`.
"""

import json
import subprocess
import sys

import pytest

from engagement_platform_tests.docker import scratch

SERVICES = ("passwords", "settings-demo", "postgres", "receiver", "code-demo", "webserver")


@pytest.mark.slow
@pytest.mark.skipif(not scratch.is_possible(), reason="needs root, and a kernel that lets it mount")
def test_services_become_healthy_on_a_read_only_root_as_users_without_rights() -> None:
    command = [sys.executable, "-m", "engagement_platform_tests.docker.up", "--installed", "--only", ",".join(SERVICES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["seconds_until_healthy"].keys() == set(SERVICES)
    assert report["exit_codes"] == dict.fromkeys(SERVICES, 0)
    assert report["refused_writes"] == []
