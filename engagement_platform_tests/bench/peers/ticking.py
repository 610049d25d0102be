"""Starts Dagster's daemon over `tick`, with the platform's PostgreSQL as its storage."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engagement_platform_tests.bench.peers.budgets import TICK
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Running
from engagement_platform_tests.bench.peers.programs import program
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import environment

_INSTANCE = """\
storage:
  postgres:
    postgres_url:
      env: ENGAGEMENT_PLATFORM_DSN
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
telemetry:
  enabled: false
"""
"""Without a queue, which would make each run later by a second and more."""


def tick() -> Contender:
    """Return a run for each tick."""
    return Contender(TICK, _daemon)


@contextmanager
def _daemon(bench: Bench, place: Place) -> Iterator[Running]:
    home = place.settings.state_dir / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(_INSTANCE)
    variables = environment(bench.endpoints, place.settings.state_dir, place.settings) | {"DAGSTER_HOME": str(home)}
    daemon = Path(sys.executable).with_name("dagster-daemon")
    command: list[str | Path] = [sys.executable, daemon, "run", "-m", "engagement_platform_tests.bench.peers.tick"]
    with program("dagster-daemon", command, bench.folder, variables) as running:
        yield Running(place.settings.topics.events, running.pid, running.require)
