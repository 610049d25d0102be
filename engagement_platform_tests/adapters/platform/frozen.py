"""PostgreSQL frozen as a whole: its sessions too, which go on when only the first process is stopped."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from engagement_platform_tests import daemons


@contextmanager
def frozen_postgres(folder: Path) -> Iterator[None]:
    """Stop every process of the server while the block runs: the kernel still acknowledges what is sent to them."""
    daemon = daemons.server(folder, "postgres").daemon
    server = daemon.process()
    assert server is not None
    daemons.pause(daemon)  # first, so that no session begins meanwhile
    sessions = server.children(recursive=True)
    try:
        for session in sessions:
            session.suspend()
        yield
    finally:
        for session in sessions:
            with suppress(psutil.NoSuchProcess):
                session.resume()
        daemons.resume(daemon)
