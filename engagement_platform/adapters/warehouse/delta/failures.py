"""What Delta Lake and the storage below it say, told as the platform's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from engagement_platform.adapters.warehouse.port import Conflict, LoadFailed, TableUnusable, one_line
from engagement_platform.domain.errors import EngagementError, Unavailable

_SERVER = "the warehouse"
"""What does not answer, as the middle of a sentence. A disk that is full answers, and so does a table at fault."""

_FULL = (
    "no space left",
    "os error 28",
    "storagefull",
    "os error 27",
    "file too large",
    "quota exceeded",
    "os error 122",
)
_FORBIDDEN = (
    *("permission denied", "os error 13", "os error 1)", "read-only file system", "os error 30"),
    *("accessdenied", "access denied", "forbidden", "unauthorized", "unauthenticated", "signaturedoesnotmatch"),
    *("invalidaccesskeyid", "missing credentials", "credential", "could not create local directory"),
)
_SILENT = ("generic s3 error", "generic gcs error", "generic microsoftazure error", "sending request", "timed out")
_REFUSED = ("invalid data found", "not-null", "not null constraint", "check constraint")
_DECORATION = re.compile(r"\x1b\[\d*m|↳")


@contextmanager
def explained(path: str, doing: str) -> Iterator[None]:
    """Turn what goes wrong in the block into the errors of the port. `place` is shown, so it holds no secret.

    Nothing that fails here has changed the table: a commit of Delta Lake is one file that is there or not.
    """
    try:
        yield
    except CommitFailedError as error:
        raise Conflict(_one_line(error)) from error
    except (DeltaError, OSError) as error:
        raise _told(error, path, doing) from error


def _told(error: Exception, path: str, doing: str) -> EngagementError:
    text = str(error).lower()
    if any(sign in text for sign in _FULL):
        return Unavailable(
            f"There is no room left in {path} for {doing}; the table is as it was.",
            "Make room on the disk; it is tried again.",
        )
    if any(sign in text for sign in _FORBIDDEN):
        return TableUnusable(
            f"{path} refuses {doing}: {_one_line(error)}.",
            "Give the platform's user the right to read and write there, mend the storage's credentials in the "
            "environment, or let ENGAGEMENT_WAREHOUSE_URI name another place.",
        )
    if any(sign in text for sign in _REFUSED):
        return LoadFailed(f"{path} refuses rows: {_one_line(error)}.", "A required column is null in them.")
    if isinstance(error, TableNotFoundError):
        return TableUnusable(
            f"There is no table in {path} any more.", "Start the process again; its days have to be rebuilt."
        )
    if any(sign in text for sign in _SILENT) or isinstance(error, OSError):
        return Unavailable(
            f"{path} does not answer to {doing}: {_one_line(error)}.", "It is tried again.", server=_SERVER
        )
    return Unavailable(
        f"{doing.capitalize()} in {path} failed: {_one_line(error)}.",
        "It is tried again. If it stays so, look at the folder `_delta_log` of the table.",
    )


def _one_line(error: Exception) -> str:
    """Return what happened, without the preview of rows and without Python's traceback."""
    text = str(error).split("Preview of invalid data")[0].split(" Detail: Python exception")[0]
    return one_line(_DECORATION.sub(" ", text))
