"""A C library of a few lines, compiled where there is gcc, by which a process gets another time and no names."""

import mmap
import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_FORM = "<qq"


def is_possible() -> bool:
    """Say whether it can be compiled and loaded here."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


class Shim:
    """What some processes are told of the time and of names, from now on and at any later time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.shim"
        self._file.write_bytes(struct.pack(_FORM, 0, 0))
        self._library = folder / "shim.so"
        if not self._library.exists():
            subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that is to be told."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_SHIM": str(self._file)}

    def tell(self, *, seconds: float = 0.0, nameless: bool = False) -> None:
        """Move the time of day by some seconds, and let names be looked up in vain, or not."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 16) as mapped:
            mapped[:] = struct.pack(_FORM, int(seconds * 1e9), int(nameless))
