"""What was measured, as tables for people and as JSON for plots and docs."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from engagement_platform.local import kafka
from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.peers import budgets, connect, rebuilds
from engagement_platform_tests.bench.peers.results import (
    GENERATOR,
    READER,
    RELAY,
    CaughtUp,
    Rebuilt,
    Streamed,
    as_data,
)

_PACKAGES = ("kafka-python", "confluent-kafka", "dagster", "deltalake", "dlt")


@dataclass
class Report:
    """The results of one run, so far."""

    command: str
    streams: list[Streamed] = field(default_factory=list)
    catching_up: list[CaughtUp] = field(default_factory=list)
    rebuilds: list[Rebuilt] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What could not be measured, and why."""

    def budgets(self) -> list[Figure]:
        """Return every ratio of which both sides were measured, beside its budget."""
        return [
            *budgets.of_streams(self.streams),
            *budgets.of_catching_up(self.catching_up),
            *budgets.of_rebuilds(self.rebuilds),
        ]

    def as_data(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "command": self.command,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "streams": [as_data(one) for one in self.streams],
            "catching_up": [as_data(one) for one in self.catching_up],
            "rebuilds": [
                {**as_data(one), "rows_per_cpu_second": round(one.rows_per_cpu_second)} for one in self.rebuilds
            ],
            "budgets": [
                {**asdict(one), "value": round(one.value, 3), "verdict": one.verdict} for one in self.budgets()
            ],
            "skipped": self.skipped,
        }

    def write(self, folder: Path) -> Path:
        """Write it as JSON; return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "peers.json"
        file.write_text(json.dumps(self.as_data(), indent=1, ensure_ascii=False) + "\n")
        return file


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "Kafka": kafka.VERSION,
        "Kafka Connect": connect.CONNECT,
        "Debezium": connect.DEBEZIUM,
        "ingestr": rebuilds.INGESTR_VERSION,
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def figures_of(result: Streamed | CaughtUp | Rebuilt) -> Sequence[Figure]:
    """Return the lines that are shown as soon as something was measured."""
    match result:
        case Streamed():
            return list(_streamed(result))
        case CaughtUp():
            return list(_caught_up(result))
        case Rebuilt():
            return [
                Figure("rows per CPU second", result.rows_per_cpu_second, "rows"),
                Figure("rate", result.rows / result.seconds, "rows/s"),
                Figure("peak memory", result.peak_mb, "MB"),
            ]


def _streamed(result: Streamed) -> Iterator[Figure]:
    for what, value in (("p50", result.p50), ("p95", result.p95), ("p99", result.p99), ("largest", result.largest)):
        yield Figure(f"commit to readable in Kafka, {what}", value, "ms")
    yield Figure("events measured", result.events)
    yield Figure("events missed for ever", result.missed)
    yield Figure("events doubled", result.doubled)
    for part, seconds in result.cpu.items():
        yield Figure(f"CPU of {_said(part, result.name)}", seconds, "s per million events")
    yield Figure("CPU of it and both servers", result.total_cpu, "s per million events")


def _caught_up(result: CaughtUp) -> Iterator[Figure]:
    yield Figure("rate, from the first record on", result.rate, "events/s")
    yield Figure("rate, its start included", result.rate_with_start, "events/s")
    yield Figure("events missed for ever", result.missed)
    yield Figure("events doubled", result.doubled)
    for part, seconds in result.cpu.items():
        yield Figure(f"CPU of {_said(part, result.name)}", seconds, "s")


def _said(part: str, name: str) -> str:
    if part == RELAY:
        return name
    return f"the bench's {part}" if part in {GENERATOR, READER} else part
