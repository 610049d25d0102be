"""Small file systems in memory, so that a disk can be full or read-only. Needs root."""

import os
import subprocess
from pathlib import Path

SIZE = "2g"


def mount(folder: Path) -> None:
    """Make a file system in memory of its own of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "chaos", folder], check=True)


def unmount(folder: Path) -> None:
    """Undo it, whoever still works there."""
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=False)
