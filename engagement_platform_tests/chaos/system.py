"""The whole system under test: servers behind proxies, `dagster dev`, the partner, writers, and the watch."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from engagement_platform.local.demo.programs import Dagster
from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform.settings import Settings, variable
from engagement_platform_tests.chaos import shim
from engagement_platform_tests.chaos.loops import Loops
from engagement_platform_tests.chaos.mounts import mount, unmount
from engagement_platform_tests.chaos.partner import PartnerProcess
from engagement_platform_tests.chaos.readers import OTHER
from engagement_platform_tests.chaos.servers import Servers
from engagement_platform_tests.chaos.shim import Shim
from engagement_platform_tests.chaos.watch import Watch, Where
from engagement_platform_tests.chaos.writers import Writers
from engagement_platform_tests.streaming import wait_for

ROOT = Path(__file__).parents[2]
SIGNING_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
START_SECONDS = 900.0
_YOUNG_SECONDS = 60.0
"""On a slow start the oldest markers have left the views by the time that those are there."""
log = logging.getLogger("chaos")


@dataclass
class System:
    """What faults are done to."""

    folder: Path
    servers: Servers
    settings: Settings
    variables: dict[str, str]
    partner: PartnerProcess
    watch: Watch
    dagster: Dagster
    loops: Loops | None = None
    """Instead of Dagster, where that is left out."""
    writers: Writers | None = None
    began: float = 0.0
    healed_at: float | None = None
    shims: dict[str, Shim] = field(default_factory=dict)
    """Of the platform's processes, and of Redis; none where it cannot be made."""
    disks: dict[str, Path] = field(default_factory=dict)
    """What is a file system of its own; none without root."""
    gone: set[int] = field(default_factory=set)
    """Ids of rows that the source does not have any more; every sink had got them."""
    lost_ids: set[int] = field(default_factory=set)
    """The last ids that were committed before a topic was lost."""
    redriven: set[int] = field(default_factory=set)
    """Ids that a redrive has brought to the partner, beside the stream."""
    growths: int = 0
    """How often the topic got more partitions."""
    remedies: list[str] = field(default_factory=list)
    """What was typed as an operator, as it was printed."""

    def lose_topic(self) -> None:
        """Take note that the topic of events is gone, and with it what it had."""
        self.watch.lose_topic()
        self.lost_ids |= {marker.event_id for marker in self.watch.markers[-1:]}

    def spare_order_since(self, at: float) -> None:
        """Hold no event to its order at the partner that was committed since a time: a redrive went beside it."""
        ids = [marker.event_id for marker in self.watch.markers if marker.committed >= at]
        self.redriven.update(range(min(ids, default=0), max(ids, default=-1) + 1))

    def backfill_of_today(self) -> list[str]:
        """Return the words of a backfill of today.

        Where rows are gone for good, the warehouse has many more, and would else refuse to take them away.
        """
        words = ["backfill", "--since", datetime.now(UTC).date().isoformat()]
        return [*words, "--allow-removal"] if self.gone else words

    def type(self, command: str) -> str:
        """Run a command that was printed; return what it says."""
        self.remedies.append(f"engagement-platform {command}")
        return self.command(*command.split(), seconds=600)

    def healed(self) -> None:
        """Note that what was broken is healed from outside as of now: what follows is the platform's."""
        self.healed_at = time.time()

    def addresses(self) -> dict[str, str]:
        """Return where the servers are, directly."""
        return self.servers.addresses(direct=True)

    def command(self, *arguments: str, seconds: float = 300.0) -> str:
        """Run a command of the platform, as an operator would who says yes where it asks whether to go on.

        Return what it says. Raises AssertionError.
        """
        done = subprocess.run(
            [sys.executable, "-m", "engagement_platform", *arguments],
            env=self.variables, cwd=ROOT, capture_output=True, input="y\n", text=True, timeout=seconds, check=False,
        )  # fmt: skip
        said = f"{done.stdout}\n{done.stderr}".strip()
        assert done.returncode == 0, f"{' '.join(arguments)}: {said}"
        return said

    def status(self) -> dict[str, Any]:
        """Return what `engagement-platform status` says."""
        done = subprocess.run(
            [sys.executable, "-m", "engagement_platform", "status", "--format", "json"],
            env=self.variables, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def start(self, *, has_dagster: bool) -> None:
        """Start Dagster, or the loops without it."""
        self.began = time.time()
        if has_dagster:
            self.dagster.start(self.variables)
        else:
            self.loops = Loops(self.folder)
            self.command("migrate")
            self.loops.start(self.variables)

    def stop(self) -> None:
        """End Dagster, or the loops, and the partner."""
        self.dagster.stop()
        if self.loops:
            self.loops.stop()
        self.partner.down()

    def keep_dagster(self) -> None:
        """Start `dagster dev` again where it has ended, as whatever supervises it would."""
        if self.loops is None and not self.dagster.daemon.is_running:
            self.dagster.kill_leftovers()
            self.dagster.start(self.variables)

    def spare_is_ready(self) -> bool:
        """Say whether a run waits whose loops are all ready."""
        try:
            with psycopg.connect(self.addresses()["platform"], connect_timeout=2) as connection:
                (ready,) = connection.execute(
                    "SELECT count(*) FROM engagement_platform.stream_loop"
                    " WHERE ready_at IS NOT NULL AND ended_at IS NULL AND heartbeat_at > now() - interval '2 seconds'"
                    " AND awaits > (SELECT max(epoch) FROM engagement_platform.stream_lease)"
                ).fetchone() or (0,)
        except psycopg.Error:
            return False
        return bool(ready == 4)


@contextmanager
def system(folder: Path, seed: int, client: str, rate: float, *, has_dagster: bool) -> Iterator[System]:
    """Run all of it while the block runs; begin once every sink has a marker and, with Dagster, a spare run waits."""
    with ExitStack() as ending:
        disks = _disks(folder)
        for disk in disks.values():
            ending.callback(unmount, disk)
        shims = {name: Shim(folder, name) for name in ("platform", "redis")} if shim.is_possible() else {}
        servers = Servers.start(folder, shims["redis"].variables if shims else {})
        ending.callback(servers.close)
        fill_catalogue(servers.addresses(direct=True)["writer"], seed)
        made = _assembled(folder, servers, seed, client)
        made.disks, made.shims = disks, shims
        if shims:
            made.variables |= shims["platform"].variables
        ending.callback(made.stop)
        made.start(has_dagster=has_dagster)
        ending.enter_context(made.watch.running())
        with _told(made):
            wait_for(
                lambda: made.watch.flowed_since(max(made.began, time.time() - _YOUNG_SECONDS)),
                "the first markers",
                START_SECONDS,
            )
            made.writers = Writers(servers.addresses(direct=True)["writer"], seed, rate)
            ending.callback(made.writers.close)
            if has_dagster:
                wait_for(made.spare_is_ready, "a run that waits", START_SECONDS)
        yield made


@contextmanager
def _told(made: System) -> Iterator[None]:
    """Tell what is known of a system that does not begin to flow."""
    try:
        yield
    except AssertionError:
        said = made.loops.log_tail() if made.loops else made.dagster.daemon.log_tail()
        log.error("watching: %s\nstands: %s\n%s", made.watch.errors, made.watch.stands(made.began), said)
        raise


def _disks(folder: Path) -> dict[str, Path]:
    """Make file systems of their own of what is to be full; nothing where that is not possible."""
    if os.geteuid() != 0:
        return {}
    servers = folder / "servers"
    disks = {"batches": folder / "state", "warehouse": folder / "tables", "kafka disk": servers / "kafka"}
    disks["source disk"] = servers / "postgres"
    for disk in disks.values():
        mount(disk)
    return disks


def _assembled(folder: Path, servers: Servers, seed: int, client: str) -> System:
    shown, own = servers.addresses(direct=False), servers.addresses(direct=True)
    state_dir = folder / "state"
    settings = Settings.of(
        source_dsn=SecretStr(shown["source"]),
        platform_dsn=SecretStr(shown["platform"]),
        kafka_bootstrap_servers=shown["kafka"],
        kafka_client=client,
        kafka_security_protocol="SSL",
        kafka_ssl_cafile=servers.certificates.authority,
        redis_url=SecretStr(shown["redis"]),
        redis_ssl_cafile=servers.certificates.authority,
        api_url=SecretStr(shown["partner"]),
        api_ca_file=servers.certificates.authority,
        api_signing_key=SecretStr(SIGNING_KEY),
        start="earliest",
        state_dir=state_dir,
        warehouse_uri=str(folder / "tables"),
    )
    variables = os.environ | {variable(name): _text(value) for name, value in settings.given().items()}
    variables |= {"DAGSTER_HOME": str(ROOT), "DAGSTER_DISABLE_TELEMETRY": "1"}
    record = folder / "partner.jsonl"
    record.touch()
    partner = PartnerProcess(servers.ports["partner"], seed, SIGNING_KEY, record)
    where = Where(
        own["writer"], own["kafka"], settings.topics.events, OTHER[client], own["redis"], settings.redis.namespace,
        folder / "tables" / "engagement_events", record,
    )  # fmt: skip
    return System(folder, servers, settings, variables, partner, Watch(where), Dagster(folder))


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
