"""Writes a CycloneDX bill of materials of the image: `sbom.py < FOUND > OUT`, with what cyclonedx-py says.

In it is what the Dockerfile installs by requirements.lock on this kind of machine: of each package name, version, purl,
licence and what it needs. Left out are development's packages, and every address; the lock has the files' hashes.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.markers import Marker

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docker"))
import locked  # noqa: E402  # beside the Dockerfile, which takes it alone

Json = dict[str, Any]


def in_image() -> dict[str, set[str]]:
    """Return name -> locked versions of what the Dockerfile installs on a machine like this one."""
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    command = next(line for line in dockerfile.splitlines() if "--project pyproject.toml" in line)
    extras = re.findall(r"--extra (\S+)", command)
    named = command.partition("requirements.lock")[2].partition("--")[0].split()
    own = locked.dependencies(ROOT / "pyproject.toml", extras)
    versions: dict[str, set[str]] = {}
    for name, entry in locked.entries(locked.chosen((ROOT / "requirements.lock").read_text(), [*own, *named])):
        version, _, marker = entry.splitlines()[0].rstrip(" \\").partition("==")[2].partition(" ; ")
        if not marker or Marker(marker).evaluate():
            versions.setdefault(name, set()).add(version)
    return versions


def narrowed(found: Json, wanted: Mapping[str, set[str]]) -> Json:
    """Return a bill with the wanted packages alone. Raises SystemExit where what is installed is not what is locked."""
    kept = [one for one in found["components"] if locked.normal(one["name"]) in wanted]
    installed = {locked.normal(one["name"]): one["version"] for one in kept}
    others = [name for name, versions in wanted.items() if installed.get(name) not in versions]
    if others:
        raise SystemExit(
            f"error: of these .venv has not what requirements.lock names: {', '.join(others)}. Run make clean."
        )
    root = found["metadata"]["component"]
    refs = {one["bom-ref"] for one in kept} | {root["bom-ref"]}
    return {
        **{name: value for name, value in found.items() if name not in ("components", "dependencies", "serialNumber")},
        "metadata": {name: _own(value) for name, value in found["metadata"].items() if name != "timestamp"},
        "components": sorted((_own(one) for one in kept), key=lambda one: str(one["name"]).lower()),
        "dependencies": [
            {"ref": one["ref"], "dependsOn": needed}
            if (needed := [ref for ref in one.get("dependsOn", ()) if ref in refs])
            else {"ref": one["ref"]}
            for one in found.get("dependencies", ())
            if one["ref"] in refs
        ],
    }


def _own(value: Any) -> Any:
    """Return a part of a bill without what names places: registries, websites, folders of the machine that made it."""
    if isinstance(value, list):
        return [_own(one) for one in value]
    if isinstance(value, dict):
        return {name: _own(one) for name, one in value.items() if name != "externalReferences"}
    return value


def main() -> None:
    """Read what is installed, write the bill."""
    bill = narrowed(json.load(sys.stdin), in_image())
    version = re.search(r'__version__ = "(.+)"', (ROOT / "engagement_platform" / "__init__.py").read_text())
    bill["metadata"]["component"]["version"] = version[1] if version else "0"
    json.dump(bill, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
