"""Which tests run beside which, and in which order: so that no process is left with something long at the end."""

import pytest

from engagement_platform_tests.whole_files import WholeFile

DAGSTER_DEV = "engagement_platform_tests/integration/test_dagster_dev.py"
"""Of the whole systems the one that may break its servers."""

WHOLE_SYSTEMS = (
    DAGSTER_DEV,
    "engagement_platform_tests/integration/test_upgrade.py",
    "engagement_platform_tests/integration/test_own_servers.py",
    "engagement_platform_tests/local/demo/test_demo.py",
    "engagement_platform_tests/orchestration/test_lease_run.py",
    "engagement_platform_tests/soak/test_soaks.py",
)
"""Files whose tests take both cores for themselves: they run one after another, in one process."""

OWN_SERVERS = (
    "engagement_platform_tests/adapters/kafka/test_outages.py",
    "engagement_platform_tests/adapters/platform/test_connection.py",
    "engagement_platform_tests/faults/test_relay_outages.py",
    "engagement_platform_tests/local/test_stack.py",
    "engagement_platform_tests/stream/relay/test_source_put_back.py",
    "engagement_platform_tests/stream/tally/test_outages.py",
)
"""Files with tests that break servers: they share those that may be broken, which take five seconds of a processor."""

SECURE_SERVERS = "engagement_platform_tests/secure/"
"""The folder whose files share servers over TLS, which take as much."""

MEANWHILE = (
    "engagement_platform_tests/adapters/warehouse/bigquery/test_contract.py",
    "engagement_platform_tests/adapters/warehouse/delta/test_contract.py",
)
"""Files that need no server: something to do for two processes while others fetch Kafka, at a first start."""

LONG = (
    "engagement_platform_tests/stream/test_schemas.py",
    "engagement_platform_tests/stream/relay/test_loop.py",
    "engagement_platform_tests/stream/stage/test_loop.py",
    "engagement_platform_tests/history/test_rebuild.py",
)
"""Files that take a minute and more: nothing is left for the other processes while one has such a file at the end."""


def scope_of(nodeid: str) -> str:
    """Return what a test goes to a process with: its file, or all files with the same needs."""
    file = nodeid.split("::", maxsplit=1)[0]
    if file in OWN_SERVERS:
        return "own servers"
    if file.startswith(SECURE_SERVERS):
        return "secure servers"
    return "whole systems" if file in WHOLE_SYSTEMS else file


def order_of(item: pytest.Item) -> tuple[bool, ...]:
    """Return by what tests are sorted: what takes longest comes first.

    Tests that break servers follow each other: those servers are ended behind the last one.
    """
    file = item.nodeid.split("::")[0]
    return (
        file not in WHOLE_SYSTEMS,
        file not in OWN_SERVERS,
        file not in MEANWHILE,
        file not in LONG,
        not may_break_servers(item),
        not _is(item, "slow"),
        not _is(item, "servers"),
    )


def may_break_servers(item: pytest.Item | None) -> bool:
    """Return whether a test, or any of a file, uses servers that it may break."""
    if isinstance(item, WholeFile):
        return item.nodeid in OWN_SERVERS or item.nodeid == DAGSTER_DEV
    return "own_stack_folder" in getattr(item, "fixturenames", ())


def _is(item: pytest.Item, mark: str) -> bool:
    if isinstance(item, WholeFile):
        return f"pytest.mark.{mark}" in item.path.read_text(encoding="utf-8")
    return item.get_closest_marker(mark) is not None
