"""Choose from requirements.lock: `locked.py requirements.lock [--project FILE [--extra NAME]] [NAME...]`.

Prints the locked entries, hashes included, of the project's own dependencies, of those of the extras named, and of the
packages named, with everything that these bring along. The lock says who brings what in its "via" comments, so nothing
is resolved anew and nothing is asked of a registry.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==", re.MULTILINE)
_VIA = re.compile(r"^ +#(?: via)? +(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)


def entries(lock: str) -> list[tuple[str, str]]:
    """Return name and text of each entry; a package that has one for each of several Pythons comes several times."""
    found = list(_ENTRY.finditer(lock))
    ends = [*(match.start() for match in found[1:]), len(lock)]
    return [(match["name"], lock[match.start() : end]) for match, end in zip(found, ends, strict=True)]


def chosen(lock: str, roots: Iterable[str]) -> str:
    """Return the entries of the roots and of all that they bring along. Raises KeyError for a root not locked."""
    known = [(name, text, {normal(match["name"]) for match in _VIA.finditer(text)}) for name, text in entries(lock)]
    wanted = {normal(root) for root in roots}
    if strangers := wanted - {name for name, _, _ in known}:
        raise KeyError(*sorted(strangers))
    while more := {name for name, _, parents in known if parents & wanted} - wanted:
        wanted |= more
    return "".join(text for name, text, _ in known if name in wanted)


def normal(requirement: str) -> str:
    """Return the name of a requirement as the lock spells it."""
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies(project: Path, extras: Iterable[str]) -> list[str]:
    """Return what a project's file says that it needs, alone and with extras."""
    described = tomllib.loads(project.read_text())["project"]
    optional = described.get("optional-dependencies", {})
    return [*described["dependencies"], *(requirement for extra in extras for requirement in optional[extra])]


def main() -> None:
    """Print the choice."""
    parser = argparse.ArgumentParser(description="Choose from a lock.")
    parser.add_argument("lock", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--project", type=Path)
    parser.add_argument("--extra", action="append", default=[])
    given = parser.parse_intermixed_args()
    own = dependencies(given.project, given.extra) if given.project else []
    sys.stdout.write(chosen(given.lock.read_text(), [*own, *given.names]))


if __name__ == "__main__":
    main()
