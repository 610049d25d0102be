"""What is published: the wheel, and the same wheel from the source distribution.

`test_own_servers.py` runs the wheel by itself; `test_newcomer.py` runs its demo in an environment of its own.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engagement_platform import __version__

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
OF_THIS_PROJECT_ONLY = ("--no-deps", "--no-build-isolation", "--no-index")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], cwd=ROOT, check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


def built(source: Path, folder: Path) -> Path:
    subprocess.run([*PIP, "wheel", *OF_THIS_PROJECT_ONLY, "-w", folder, source], check=True)
    (made,) = folder.iterdir()
    return made


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist() if not entry.filename.endswith("/RECORD")}


def test_both_have_the_version_of_the_package(sdist: Path, wheel: Path) -> None:
    assert sdist.name == f"engagement_platform-{__version__}.tar.gz"
    assert wheel.name == f"engagement_platform-{__version__}-py3-none-any.whl"


def test_the_source_distribution_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert contents(built(sdist, tmp_path)) == contents(wheel)


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "engagement_platform"
    files = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= contents(wheel).keys()
