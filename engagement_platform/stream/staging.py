"""The folder of batches on their way to the warehouse: one file of clean lines, one of those that were rejected.

The files are disposable: Kafka can make them again. Clean lines go when the warehouse has them; rejected ones stay for
people to look at.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from engagement_platform.domain.batches import Line, Rejected
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

FOLDER = "bigquery_batches"
REJECTED_KEPT_SECONDS = 30 * 86_400.0


def folder_of(settings: Settings) -> Path:
    """Return the folder, which is made when it is missing. Raises Unavailable when it cannot be made."""
    folder = settings.state_dir.absolute() / FOLDER
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def clean_file(folder: Path, name: str, lines: Sequence[Line]) -> Iterator[Path]:
    """Write the lines of a batch as NDJSON for as long as the block runs. Raises Unavailable when the disk is full.

    The name carries the process, so that nobody who completes the same batch takes the file away.
    """
    path = folder / f"{name}.{os.getpid()}.ndjson"
    try:
        with _explained(path), path.open("wb") as file:
            file.writelines(line.json + b"\n" for line in lines)
        yield path
    finally:
        path.unlink(missing_ok=True)


def keep_rejected(folder: Path, name: str, rejected: Sequence[Rejected]) -> None:
    """Write what was rejected, with the reasons, to the `.rejected` file of the batch."""
    path = folder / f"{name}.rejected"
    with _explained(path):
        path.write_bytes(b"".join(_line(one) for one in rejected))


def _line(one: Rejected) -> bytes:
    return msgspec.json.encode({"id": one.id, "reason": one.reason, "excerpt": one.excerpt}) + b"\n"


def remove_leftovers(folder: Path) -> None:
    """Remove the clean files of processes that are no more, and what was rejected long ago: dead letters stay."""
    for path in folder.glob("*.ndjson"):
        pid = path.name.split(".")[-2]
        if not pid.isdigit() or not _lives(int(pid)):
            path.unlink(missing_ok=True)
    for path in folder.glob("*.rejected"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > REJECTED_KEPT_SECONDS:
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"The batch file {path} cannot be written: {error.strerror}.",
            "Make room on the disk, or let ENGAGEMENT_STATE_DIR name a folder that can be written to.",
        ) from error
