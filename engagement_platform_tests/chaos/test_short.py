"""Chaos in short: loops in processes, hostile writers, a partner that misbehaves, faults, the whole comparison."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from engagement_platform.local.generator.writer import fill_catalogue
from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import Settings
from engagement_platform_tests.bench.live import LOOP
from engagement_platform_tests.chaos.partner import PartnerProcess
from engagement_platform_tests.chaos.proxy import Proxies
from engagement_platform_tests.chaos.readers import OTHER
from engagement_platform_tests.chaos.run import final, settle, views_verdict
from engagement_platform_tests.chaos.system import SIGNING_KEY
from engagement_platform_tests.chaos.watch import Watch, Where
from engagement_platform_tests.chaos.writers import Writers
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.integration.dagster_dev import environment
from engagement_platform_tests.ports import free_port
from engagement_platform_tests.streaming import wait_for

pytestmark = [pytest.mark.servers, pytest.mark.slow]
SEED = 3


@dataclass
class Scene:
    """Four loops without Dagster, and what is compared of them."""

    settings: Settings
    watch: Watch
    partner: PartnerProcess
    proxies: Proxies
    writers: Writers | None
    servers: dict[str, str]
    variables: dict[str, str]
    growths: int = 0
    gone: set[int] = field(default_factory=set)
    lost_ids: set[int] = field(default_factory=set)
    redriven: set[int] = field(default_factory=set)
    loops: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def addresses(self) -> dict[str, str]:
        return self.servers

    def start(self, loop: str) -> None:
        self.loops[loop] = subprocess.Popen([sys.executable, "-c", LOOP.format(loop=loop)], env=self.variables)

    def kill(self, loop: str) -> None:
        self.loops[loop].kill()
        self.loops[loop].wait()

    def end(self) -> None:
        for loop in self.loops:
            self.kill(loop)

    def flows(self, since: float) -> None:
        wait_for(lambda: self.watch.flowed_since(since), "events in every sink", 120)


def behind(address: str, port: int) -> str:
    """The address with the proxy's port."""
    return address.replace(f":{urlsplit(address).port}", f":{port}")


@pytest.fixture
def scene(stack: Endpoints, settings: Settings, source_db: SourceDatabase, tmp_path: Path) -> Iterator[Scene]:
    fill_catalogue(source_db.writer_dsn, SEED)
    partner_port, record = free_port(), tmp_path / "partner.jsonl"
    record.touch()
    redis_url = settings.redis.url.get_secret_value()
    own = {"source": source_db.dsn, "redis": redis_url, "partner": f"http://127.0.0.1:{partner_port}/events"}
    routes = {name: (int(urlsplit(address).port or 0), free_port()) for name, address in own.items()}
    shown = {name: behind(address, routes[name][1]) for name, address in own.items()}
    with ExitStack() as ending:
        proxies, partner = Proxies(routes), PartnerProcess(partner_port, SEED, SIGNING_KEY, record)
        ending.callback(proxies.close)
        ending.callback(partner.down)
        changed = settings.replace(
            source_dsn=SecretStr(shown["source"]),
            redis_url=SecretStr(shown["redis"]),
            api_url=SecretStr(shown["partner"]),
            api_signing_key=SecretStr(SIGNING_KEY),
            forward_group=f"forward-{settings.topics.events}",
            stage_seconds=1.0,
            state_dir=tmp_path,
        )
        where = Where(
            source_db.writer_dsn, stack.kafka_bootstrap_servers, changed.topics.events, OTHER[changed.kafka.client],
            redis_url, changed.redis.namespace, Path(changed.effective_warehouse_uri) / "engagement_events", record,
        )  # fmt: skip
        variables = environment(stack, tmp_path, changed)
        made = Scene(changed, Watch(where), partner, proxies, None, {"writer": source_db.writer_dsn}, variables)
        ending.callback(made.end)
        for loop in ("relay", "tally", "stage", "forward"):
            made.start(loop)
        ending.enter_context(made.watch.running())
        made.writers = Writers(source_db.writer_dsn, SEED, 150, threads=2)
        ending.callback(made.writers.close)
        yield made


def test_nothing_is_lost_doubled_or_out_of_order(scene: Scene) -> None:
    scene.flows(time.time())
    for loop in ("relay", "tally", "forward"):
        scene.kill(loop)
        scene.start(loop)
    scene.flows(time.time())
    assert not views_verdict(scene).broken
    scene.proxies.tell("redis", mode="swallow")
    scene.proxies.tell("partner", mode="swallow")
    time.sleep(1.0)
    for name in ("redis", "partner", "source"):
        scene.proxies.tell(name, mode="pass", cut=True)
    scene.flows(time.time())
    settle(scene)
    verdicts, views = final(scene), views_verdict(scene)
    assert {name: verdict for name, verdict in verdicts.items() if verdict.broken} == {}
    assert not views.broken
    assert views.events > 100
    assert verdicts["kafka"].events == verdicts["warehouse"].events
    assert len(scene.watch.seen["redis"]) > 50
