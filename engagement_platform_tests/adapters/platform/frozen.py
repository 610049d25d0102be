"""PostgreSQL frozen as a whole: its sessions too, which go on when only the first process is stopped."""

from contextlib import AbstractContextManager
from pathlib import Path

from engagement_platform_tests import daemons


def frozen_postgres(folder: Path) -> AbstractContextManager[None]:
    """Stop every process of the server while the block runs: the kernel still acknowledges what is sent to them."""
    return daemons.frozen_with_children(daemons.server(folder, "postgres").daemon)
