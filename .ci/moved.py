"""Says which packages a new lock moves: `moved.py OLD NEW`, a line each."""

import re
import sys
from pathlib import Path

_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def versions(lock: str) -> dict[str, str]:
    """Return package -> its versions, where several Pythons or platforms have several."""
    locked: dict[str, set[str]] = {}
    for entry in _ENTRY.finditer(lock):
        locked.setdefault(entry["name"], set()).add(entry["version"])
    return {name: ", ".join(sorted(chosen)) for name, chosen in locked.items()}


def moved(old: str, new: str) -> list[str]:
    """Return what a new lock has in place of an old one's, by name of package; nothing for locks that say the same."""
    before, after = versions(old), versions(new)
    return [
        f"{name}: {before.get(name, 'new')} -> {after.get(name, 'gone')}"
        for name in sorted(before | after)
        if before.get(name) != after.get(name)
    ]


if __name__ == "__main__":
    lines = moved(*(Path(file).read_text() for file in sys.argv[1:3]))
    sys.stdout.write("".join(f"{line}\n" for line in lines or ["No package has a newer release."]))
