"""What `make sbom` and `make audit` say of what is shipped."""

import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engagement_platform_tests.scripts import module_of

CI = Path(__file__).parents[1] / ".ci"
PLACE = "https://registry.example/project"


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    return module_of(CI / "sbom.py")


def component(name: str, version: str) -> dict[str, Any]:
    reference = {"type": "distribution", "url": f"{PLACE}/{name}"}
    return {"name": name, "version": version, "bom-ref": f"{name}=={version}", "externalReferences": [reference]}


def found(*components: dict[str, Any]) -> dict[str, Any]:
    """What cyclonedx-py says of an environment in which each package needs all others."""
    refs = [one["bom-ref"] for one in components]
    return {
        "bomFormat": "CycloneDX",
        "serialNumber": "urn:uuid:1",
        "metadata": {"timestamp": "now", "component": {"bom-ref": "root"}, "tools": [component("tool", "1")]},
        "components": [*components],
        "dependencies": [{"ref": ref, "dependsOn": refs} for ref in (*refs, "root")],
    }


def test_the_bill_has_what_the_image_has_and_no_address(sbom: ModuleType) -> None:
    bill = sbom.narrowed(
        found(component("pytest", "9"), component("Redis", "5.2"), component("a_b", "1")),
        {"redis": {"5.2"}, "a-b": {"1", "2"}},
    )
    assert [one["name"] for one in bill["components"]] == ["a_b", "Redis"]
    assert [one["ref"] for one in bill["dependencies"]] == ["Redis==5.2", "a_b==1", "root"]
    assert all(one["dependsOn"] == ["Redis==5.2", "a_b==1"] for one in bill["dependencies"])
    assert PLACE not in json.dumps(bill)
    assert "serialNumber" not in bill, "the same lock makes the same bill"


@pytest.mark.parametrize("installed", [component("redis", "5.3"), component("kafka", "1")])
def test_a_bill_of_something_else_than_the_lock_is_not_written(sbom: ModuleType, installed: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="redis"):
        sbom.narrowed(found(installed), {"redis": {"5.2"}})


def test_the_image_is_as_the_lock_has_it(sbom: ModuleType) -> None:
    wanted = sbom.in_image()
    assert {"dagster", "redis", "confluent-kafka", "psutil"} <= wanted.keys()
    assert not {"pytest", "colorama"} & wanted.keys()
    assert all(len(versions) == 1 for versions in wanted.values())


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("echo No known vulnerabilities found", 0, "No known"),
        ("echo Found 2 known vulnerabilities in 1 package; exit 1", 1, "Found 2"),
        ("echo Failed to resolve api.osv.dev >&2; exit 1", 2, "were not audited"),
    ],
)
def test_an_audit_that_could_not_be_made_is_none(tmp_path: Path, program: str, code: int, said: str) -> None:
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(f"#!/bin/sh\n{program}\n")
    stand_in.chmod(0o755)
    done = subprocess.run([CI / "audit", stand_in], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
