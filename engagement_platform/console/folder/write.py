"""Writes the folder of an installation. The templates lie beside this module; `dagster.yaml` is the repository's."""

import getpass
import os
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from string import Template

from engagement_platform.console import example

DAGSTER_YAML = "dagster.yaml"
_BASE_DIR = "base_dir: .engagement/dagster"
_PRIVATE = 0o600
_PUBLIC = 0o644


def write(home: Path) -> Iterator[tuple[Path, bool]]:
    """Write the files of an installation into `home`; yield each with whether it is new. None is replaced."""
    home.mkdir(parents=True, exist_ok=True)
    for name, (text, mode) in contents(home, Path(sys.executable), getpass.getuser()).items():
        yield home / name, _create(home / name, text, mode)


def contents(home: Path, python: Path, user: str) -> dict[str, tuple[str, int]]:
    """Return name -> (text, mode) of every file; `home` is absolute, `python` the interpreter with the package."""
    values = {"home": home, "python": python, "user": user}
    return {
        DAGSTER_YAML: (dagster_yaml().replace(_BASE_DIR, f"base_dir: {home}/state/dagster"), _PUBLIC),
        "workspace.yaml": (_template("workspace.yaml", values), _PUBLIC),
        ".env": (_template("env", values) + example.settings(without=("source_dsn", "platform_dsn")), _PRIVATE),
        "engagement-platform.service": (_template("engagement-platform.service", values), _PUBLIC),
    }


def dagster_yaml() -> str:
    """Return the repository's dagster.yaml: in a wheel it lies beside this module, in a checkout at its root."""
    beside = resources.files(__package__) / DAGSTER_YAML
    return beside.read_text() if beside.is_file() else (Path(__file__).parents[3] / DAGSTER_YAML).read_text()


def _template(name: str, values: dict[str, object]) -> str:
    text = (resources.files(__package__) / f"{name}.template").read_text()
    return Template(text).substitute(values)


def _create(path: Path, text: str, mode: int) -> bool:
    """Write a file that is not there; say whether it was written. A secret is never readable for a moment."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return True
