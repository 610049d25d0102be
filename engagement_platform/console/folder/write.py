"""Writes the folder of an installation. The templates lie beside this module."""

import json
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template

from engagement_platform.console import example
from engagement_platform.domain.errors import EngagementError
from engagement_platform.orchestration import instance

_PRIVATE = 0o600
_PUBLIC = 0o644


def write(home: Path) -> Iterator[tuple[Path, bool]]:
    """Write the files of an installation into `home`; yield each with whether it is new. None is replaced.

    Raises EngagementError where the folder cannot be written.
    """
    if not str(home).isprintable():
        raise EngagementError("The folder's name has a line break or a control character.", "Choose another name.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name, (text, mode) in contents(home, Path(sys.executable), _user()).items():
            yield home / name, _create(home / name, text, mode)
    except OSError as error:
        raise EngagementError(
            f"The folder {home} cannot be written: {error.strerror}.", "Name a folder that you may write to."
        ) from error


def contents(home: Path, python: Path, user: str) -> dict[str, tuple[str, int]]:
    """Return name -> (text, mode) of every file; `home` is absolute, `python` the interpreter with the package."""
    paths = {"home": _for_shell(home), "state": _for_shell(home / "state")}
    unit = {"home": _for_unit(home), "python": _word_for_unit(python), "user": user}
    return {
        instance.FILE: (instance.configuration(home / "state" / "dagster"), _PUBLIC),
        "workspace.yaml": (_template("workspace.yaml", {}), _PUBLIC),
        ".env": (_template("env", paths) + example.settings(without=("source_dsn", "platform_dsn")), _PRIVATE),
        "engagement-platform.service": (_template("engagement-platform.service", unit), _PUBLIC),
        "engagement-platform-page.service": (_template("engagement-platform-page.service", unit), _PUBLIC),
    }


def _user() -> str:
    """Return the name of the process' user, who will own the files; the number of one that has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _for_shell(path: Path) -> str:
    """Return a path as a value that a shell and systemd's EnvironmentFile read alike."""
    text = str(path)
    return text if re.fullmatch(r"[\w./-]+", text) else '"' + re.sub(r'(["\\$`])', r"\\\1", text) + '"'


def _for_unit(path: Path) -> str:
    """Return a path as it stands alone behind the = of a systemd unit."""
    return str(path).replace("%", "%%")


def _word_for_unit(path: Path) -> str:
    """Return a path as one word of a command in a systemd unit."""
    text = _for_unit(path)
    return text if re.fullmatch(r"[\w./%-]+", text) else json.dumps(text, ensure_ascii=False)


def _template(name: str, values: Mapping[str, str]) -> str:
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
