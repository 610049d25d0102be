"""The folder of batches on their way to the warehouse: one file of clean lines, one of those that were rejected.

The files are disposable: Kafka can make them again. Clean lines go when the warehouse has them; rejected ones stay for
people to look at. Only files that the stage made are ever removed; whatever else lies in the folder is left alone.
"""

import fcntl
import os
import re
import stat
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

_BATCH = r"[A-Za-z0-9._-]{1,249}(?:_[0-9]+@[0-9]+-[0-9]+)+"
_CUT_BATCH = r"[A-Za-z0-9._@-]{150}_[0-9a-f]{16}"
_CLEAN_FILE = re.compile(rf"(?:{_BATCH}|{_CUT_BATCH})\.(?P<pid>[1-9][0-9]{{0,8}})\.ndjson")
"""The names that `clean_file` gives to batches named by `domain.batches.name_of`."""
_MAX_REJECTED_LINE_BYTES = 1 << 20


def folder_of(settings: Settings) -> Path:
    """Return the folder, which is made when it is missing. Raises Unavailable when it cannot be made."""
    folder = settings.own_dir.absolute() / FOLDER
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def clean_file(folder: Path, name: str, lines: Sequence[Line]) -> Iterator[Path]:
    """Write the lines of a batch as NDJSON for as long as the block runs.

    The name carries the process, and the file is locked: nobody who completes the same batch writes to it or takes it
    away, not even a process of another container with the same number. Raises Unavailable when the folder or the disk
    does not take the file, or another process has it.
    """
    path = folder / f"{name}.{os.getpid()}.ndjson"
    with _explained(path):
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _explained(path):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            with _explained(path), path.open("wb") as file:
                file.writelines(line.json + b"\n" for line in lines)
            yield path
        finally:
            with suppress(OSError):  # a leftover is removed once the folder can be written to again
                path.unlink()
    finally:
        os.close(lock)


def keep_rejected(folder: Path, name: str, rejected: Sequence[Rejected]) -> None:
    """Write what was rejected, with the reasons, to the `.rejected` file of the batch."""
    path = folder / f"{name}.rejected"
    with _explained(path):
        path.write_bytes(b"".join(_line(one) for one in rejected))


def _line(one: Rejected) -> bytes:
    return msgspec.json.encode({"id": one.id, "reason": one.reason, "excerpt": one.excerpt}) + b"\n"


def remove_leftovers(folder: Path) -> None:
    """Remove the clean files of processes that are no more, and what was rejected long ago: dead letters stay.

    What cannot be looked at or removed stays: writing the next batch tells why.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode) and _is_leftover(Path(entry.path)):
                    Path(entry.path).unlink()


def _is_leftover(path: Path) -> bool:
    if clean := _CLEAN_FILE.fullmatch(path.name):
        return not _lives(int(clean["pid"])) and not _is_locked(path)
    is_old = time.time() - path.stat().st_mtime > REJECTED_KEPT_SECONDS
    return path.suffix == ".rejected" and is_old and _holds_rejected(path)


def erase_rejected(folder: Path, texts: Sequence[str]) -> int:
    """Take the lines whose excerpts have one of the texts out of the `.rejected` files; return how many that were.

    Each file is replaced in one step. Raises Unavailable.
    """
    erased = 0
    with _explained(folder):
        files = [path for path in sorted(folder.glob("*.rejected")) if path.is_file() and _holds_rejected(path)]
    for path in files:
        with _explained(path):
            lines = path.read_bytes().splitlines(keepends=True)
            left = [line for line in lines if not any(text in _excerpt(line) for text in texts)]
            if len(left) == len(lines):
                continue
            erased += len(lines) - len(left)
            if left:
                whole = path.with_name(f"{path.name}.erasing")
                whole.write_bytes(b"".join(left))
                whole.replace(path)
            else:
                path.unlink()
    return erased


class _RejectedLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a `.rejected` file."""

    id: int | None
    reason: str
    excerpt: str


def _holds_rejected(path: Path) -> bool:
    """Say whether a file begins with a line that `keep_rejected` writes. The name alone could be anybody's."""
    with path.open("rb") as file:
        first = file.readline(_MAX_REJECTED_LINE_BYTES)
    try:
        msgspec.json.decode(first, type=_RejectedLine)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _excerpt(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_RejectedLine).excerpt
    except (msgspec.MsgspecError, ValueError):
        return line.decode("utf-8", "replace")


def _is_locked(path: Path) -> bool:
    """Say whether a process, of whatever container, is at the file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


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
    except BlockingIOError as error:
        raise Unavailable(f"The batch file {path} is in use by another process.", "It is tried again.") from error
    except OSError as error:
        raise Unavailable(
            f"The batch file {path} cannot be written: {error.strerror}.",
            f"Make room on the disk, or let {path.parent} be a folder of the user that runs the stream, with the right"
            " to write to it; or let ENGAGEMENT_STATE_DIR name another one.",
        ) from error
