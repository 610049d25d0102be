"""The notes of committed transactions: one line each, `TIME ID ID …`, TIME in nanoseconds since 1970."""

import os
import threading
from typing import NamedTuple


class Note(NamedTuple):
    """When a commit had returned, and the ids that it made visible."""

    committed_ns: int
    ids: list[int]


def encode(committed_ns: int, ids: list[int]) -> bytes:
    """Return the line of one transaction."""
    return f"{committed_ns} {' '.join(map(str, ids))}\n".encode()


def decode(line: bytes) -> Note:
    """Return what a line says. Raises ValueError for anything else."""
    committed_ns, *ids = map(int, line.split())
    return Note(committed_ns, ids)


class NoteWriter:
    """Writes whole lines to a file descriptor; sets `stop` when nobody reads them any more."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor = descriptor
        self._stop = stop
        self._lock = threading.Lock()

    def __call__(self, committed_ns: int, ids: list[int]) -> None:
        """Note one transaction. Lines of several threads never mix."""
        line = memoryview(encode(committed_ns, ids))
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._descriptor, line) :]
        except OSError:
            self._stop.set()
