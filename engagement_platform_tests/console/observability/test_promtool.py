"""promtool over the rules and over what /metrics answers. `make test-rules` builds it where Go is there."""

import os
import subprocess
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from engagement_platform.console.observability.__main__ import FOLDER
from engagement_platform.console.serve.metrics import OfReading
from engagement_platform_tests.readings import reading

PROMTOOL = os.environ.get("ENGAGEMENT_TEST_PROMTOOL", "")
RULES = Path(__file__).parents[3] / FOLDER

pytestmark = pytest.mark.skipif(not PROMTOOL, reason="make test-rules runs promtool, where Go is there to build it")


def promtool(*words: str, said: bytes = b"") -> str:
    done = subprocess.run([PROMTOOL, *words], input=said, capture_output=True, timeout=170, cwd=RULES, check=False)
    out = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, out
    return out


def test_the_rules_are_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml")


def test_each_rule_fires_and_stops() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml")


def test_a_rule_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    never = (RULES / "alerts.yaml").read_text().replace("engagement_up == 0", "engagement_up == 7")
    (tmp_path / "alerts.yaml").write_text(never)
    (tmp_path / "alerts_test.yaml").write_text((RULES / "alerts_test.yaml").read_text())
    with pytest.raises(AssertionError, match="EngagementUnreadable"):
        promtool("test", "rules", str(tmp_path / "alerts_test.yaml"))


def test_the_metrics_keep_the_conventions_of_prometheus() -> None:
    assert promtool("check", "metrics", said=generate_latest(OfReading(reading()))) == ""
