"""The relays that are Python: this platform's, and the poller that people write first."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec

from engagement_platform.settings import FIELDS
from engagement_platform_tests.bench.peers.budgets import OURS, POLLER
from engagement_platform_tests.bench.peers.harness import Bench, Contender, Running
from engagement_platform_tests.bench.peers.programs import program
from engagement_platform_tests.bench.peers.results import NotToBeHad
from engagement_platform_tests.bench.place import Place
from engagement_platform_tests.integration.dagster_dev import environment

_LOOP = """
from engagement_platform.settings import load
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay.loop import run
run(load(), Standalone())
"""
_POLLER = "from engagement_platform_tests.bench.peers.poller import main; main()"


@contextmanager
def _python(code: str, bench: Bench, place: Place, **settings: str) -> Iterator[Running]:
    variables = environment(bench.endpoints, place.settings.state_dir, place.settings) | settings
    with program("relay", [sys.executable, "-c", code], bench.folder, variables) as running:
        yield Running(place.settings.topics.events, running.pid, running.require)


def relay() -> Contender:
    """Return the relay as it runs by default."""
    return Contender(f"{OURS}, kafka-python", partial(_python, _LOOP))


def fast_relay() -> Contender:
    """Return the relay with the client of the extra `fast`. Raises NotToBeHad where that is not installed."""
    if find_spec("confluent_kafka") is None or "kafka_client" not in FIELDS:
        raise NotToBeHad("the relay with librdkafka: that client is not there")
    return Contender(f"{OURS}, librdkafka", partial(_python, _LOOP, ENGAGEMENT_KAFKA_CLIENT="librdkafka"))


def poller() -> Contender:
    """Return the poller by the highest id."""
    return Contender(POLLER, partial(_python, _POLLER))
