"""What each client of Kafka costs, in a process of its own, against the same broker: half a minute each."""

import json
import secrets
import subprocess
import sys
from typing import get_args

from engagement_platform.local.stack import Endpoints
from engagement_platform.settings import FIELDS
from engagement_platform_tests.bench import kafka_work
from engagement_platform_tests.bench.figures import Figure

CLIENTS: tuple[str, ...] = get_args(FIELDS["kafka_client"].annotation)

SHOWN = (
    ("large_cpu", f"transactions of {kafka_work.LARGE:,}", "CPU s a million", 1),
    ("large_per_s", "    at", "messages/s", 1),
    ("small_cpu", f"transactions of {kafka_work.SMALL}, one each 10 ms", "CPU s a million", 1),
    ("small_p50_ms", "    p50", "ms", 1),
    ("small_p99_ms", "    p99", "ms", 1),
    ("read_cpu", "reading, read_committed", "CPU s a million", 1),
    ("read_per_s", "    at", "messages/s", 1),
    ("loaded_s", "loading it", "ms", 1_000),
    ("producer_s", "a producer that has fenced", "ms", 1_000),
    ("reader_s", "a reader", "ms", 1_000),
    ("start_cpu_s", "all of that", "CPU ms", 1_000),
    ("idle_bytes", "memory after that", "MB", 1e-6),
    ("bytes", "memory after work", "MB", 1e-6),
)


def run(endpoints: Endpoints) -> list[Figure]:
    """Let each client do the same work; return its figures."""
    return [
        Figure(f"{client}: {what.strip()}", factor * figures[name], unit)
        for client in CLIENTS
        for figures in [work(client, endpoints.kafka_bootstrap_servers)]
        for name, what, unit, factor in SHOWN
    ]


def work(client: str, brokers: str) -> dict[str, float]:
    """Return what a client's process has measured."""
    command = [sys.executable, "-m", kafka_work.__name__, client, brokers, f"bench-{client}-{secrets.token_hex(3)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
