"""`make` installs what the lock says, whatever else an index has by now and whatever installs.

The Makefile's own rule runs, for a project of a few lines and with an index of tiny wheels.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from engagement_platform_tests.integration.wheels import Index, Release, served

ROOT = Path(__file__).parents[2]
SCRIPTS = [*(ROOT / "docker").glob("*.sh"), *(ROOT / "engagement_platform_tests").rglob("*.sh")]

# As google-auth[pyopenssl] is: locked with an extra, and needed without it by what comes before it in the lock.
LOCKED = {
    "alone": Release("alone", "1.0"),
    "api": Release("api", "1.0", requires=("auth>=1,<3", "alone>=1")),
    "api_with_extra": Release("api_with_extra", "1.0", requires=("auth[tls]>=1,<3",)),
    "auth[tls]": Release("auth", "1.0", requires=("alone>=1",), extras=(("tls", "ssl_of_auth>=1"),)),
    "cloud": Release("cloud", "1.0", requires=("auth", "ssl_of_auth")),
    "ssl_of_auth": Release("ssl_of_auth", "1.0"),
}

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "project"
version = "1.0"
"""

BACKEND = """\
import shutil

def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("project-1.0-py3-none-any.whl", folder).rpartition("/")[2]
"""

INSTALLED = """\
import importlib, json
from importlib.metadata import distributions
print(json.dumps({one.name: one.version for one in distributions()}))
print(json.dumps([importlib.import_module(name).build for name in %r]))
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    with served(folder) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path, index: Index) -> Path:
    """A project with this repository's rule for installing, and a lock from before the newest releases."""
    folder = tmp_path / "project"
    (folder / "engagement_platform").mkdir(parents=True)
    shutil.copytree(ROOT / "docker", folder / "docker")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    Release("project", "1.0").write(folder)
    lock = [f"{name}=={release.version} --hash={index.add(release)}\n" for name, release in LOCKED.items()]
    (folder / "requirements.lock").write_text("".join(lock))
    for release in LOCKED.values():
        index.add(release.later(version="2.0"))
        index.add(release.later(build="7"))
    return folder


def make(project: Path, index: Index, **variables: str) -> None:
    """Run the Makefile's rule, with an empty home and with no other index."""
    home = project.parent / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.url,
        "UV_NO_CONFIG": "1", "UV_DEFAULT_INDEX": index.url,
    }  # fmt: skip
    command = ["make", ".venv/installed", f"PYTHON={sys.executable}", *(f"{k}={v}" for k, v in variables.items())]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def versions(project: Path) -> dict[str, str]:
    """Return what is installed, and fail where it is another file than the locked one."""
    modules = [release.name for release in LOCKED.values()]
    command = [str(project / ".venv/bin/python"), "-c", INSTALLED % modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    installed, builds = map(json.loads, done.stdout.splitlines())
    assert builds == [""] * len(modules)
    return {name: version for name, version in installed.items() if name not in {"pip", "setuptools"}}


def with_newest_pip(project: Path) -> None:
    """Make the environment beforehand, with the pip of the lock: `python -m venv` leaves a newer one as it is."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    (packages,) = (project / ".venv/lib").glob("python*/site-packages")
    for file in {file.parts[0] for file in metadata.files("pip") or () if file.parts[0] != ".."}:
        shutil.copytree(Path(str(metadata.distribution("pip").locate_file(file))), packages / file)


EVERYTHING = {release.name: "1.0" for release in LOCKED.values()} | {"project": "1.0"}


@pytest.mark.slow
def test_pip_as_python_brings_it_installs_what_is_locked(project: Path, index: Index) -> None:
    make(project, index)
    assert versions(project) == EVERYTHING


@pytest.mark.slow
def test_the_newest_pip_installs_what_is_locked(project: Path, index: Index) -> None:
    with_newest_pip(project)
    make(project, index, PIP=".venv/bin/python -m pip")
    assert versions(project) == EVERYTHING


@pytest.mark.slow
def test_uv_installs_what_is_locked(project: Path, index: Index) -> None:
    make(project, index, PIP=f"{Path(sys.executable).with_name('uv')} pip")
    assert versions(project) == EVERYTHING


def locked() -> dict[str, set[str]]:
    """Return the versions of each package of the lock; some differ from Python to Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9._-]+)(?:\[.*?\])?==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


def test_the_lock_has_all_that_the_project_and_its_extras_need() -> None:
    versions = locked()
    for text in metadata.requires("engagement-platform") or ():
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in versions, f"make lock: {requirement} is not locked"
        assert all(map(requirement.specifier.contains, versions[name])), f"make lock: {requirement}"


def test_what_is_installed_lacks_nothing_and_contradicts_nothing() -> None:
    """The lock is installed without looking at what packages need, so somebody has to look."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["Makefile", "docker/Dockerfile", *(str(path.relative_to(ROOT)) for path in SCRIPTS)])
def test_no_other_line_resolves(file: str) -> None:
    commands = re.sub(r"\\\n|^\s*#.*$", " ", (ROOT / file).read_text(), flags=re.MULTILINE)
    for command in re.split(r"\n|&&|;", commands):
        if re.search(r"(pip|PIP\)|@\").* install\b", command):
            assert "--no-deps" in command, command
