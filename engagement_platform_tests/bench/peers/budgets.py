"""What this platform is held to beside its peers: ratios of what was measured in one run."""

from collections.abc import Iterator, Sequence

from engagement_platform_tests.bench.figures import Figure
from engagement_platform_tests.bench.peers.results import RELAY, CaughtUp, Rebuilt, Streamed

OURS, AT_LEAST_ONCE, EXACTLY_ONCE = "relay", "Debezium, at least once", "Debezium, exactly once"
TICK, POLLER = "a Dagster run for each tick", "a poller by id > cursor"
REBUILD, DLT, INGESTR = "rebuild", "dlt", "ingestr"
STREAM_BUDGETS = {AT_LEAST_ONCE: (1.2, 1.2, 0.4), EXACTLY_ONCE: (1.0, 1.0, 1.0)}
"""Peer -> at most so many times its p50, its p99 and its CPU seconds."""
CATCH_UP_BUDGET = (4.0, 0.15)
"""At least so many times Debezium's rate, at least once, with at most so much of its CPU seconds."""
REBUILD_BUDGETS = {DLT: 5.0, INGESTR: 1.5}
"""Tool -> at least so many times its rows for each CPU second."""


def is_ours(name: str) -> bool:
    """Say whether a result is of this platform's relay, with whichever client."""
    return name.partition(",")[0] == OURS


def of_streams(results: Sequence[Streamed]) -> Iterator[Figure]:
    """Yield the ratios to each peer that was measured, for each of our relays."""
    peers = {one.name: one for one in results if one.name in STREAM_BUDGETS}
    for ours in (one for one in results if is_ours(one.name)):
        for name, peer in peers.items():
            p50, p99, cpu = STREAM_BUDGETS[name]
            both = f"{ours.name} / {name}"
            yield Figure(f"{both}: p50", ours.p50 / peer.p50, "times", at_most=p50)
            yield Figure(f"{both}: p99", ours.p99 / peer.p99, "times", at_most=p99)
            yield Figure(f"{both}: CPU", ours.cpu[RELAY] / peer.cpu[RELAY], "times", at_most=cpu)
            yield Figure(f"{both}: CPU with both servers", ours.total_cpu / peer.total_cpu, "times")


def of_catching_up(results: Sequence[CaughtUp]) -> Iterator[Figure]:
    """Yield the ratios of catching up to each peer that was measured."""
    rate, cpu = CATCH_UP_BUDGET
    for ours in (one for one in results if is_ours(one.name)):
        for peer in (one for one in results if one.name in STREAM_BUDGETS):
            both = f"{ours.name} / {peer.name}"
            is_held = peer.name == AT_LEAST_ONCE
            yield Figure(f"{both}: rate", ours.rate / peer.rate, "times", at_least=rate if is_held else None)
            yield Figure(f"{both}: CPU", ours.cpu[RELAY] / peer.cpu[RELAY], "times", at_most=cpu if is_held else None)


def of_rebuilds(results: Sequence[Rebuilt]) -> Iterator[Figure]:
    """Yield the ratios of rows for each CPU second to each tool that was measured."""
    for ours in (one for one in results if one.name == REBUILD):
        for peer in (one for one in results if one.name in REBUILD_BUDGETS):
            ratio = ours.rows_per_cpu_second / peer.rows_per_cpu_second
            both = f"{ours.name} / {peer.name}"
            yield Figure(f"{both}: rows per CPU second", ratio, "times", at_least=REBUILD_BUDGETS[peer.name])
