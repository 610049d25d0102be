"""`dg check defs`, as `[tool.dg]` lets it find what Dagster loads. The command is no dependency of the platform."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

ROOT = Path(__file__).parents[2]


def test_the_project_names_the_definitions_and_the_location_as_the_workspace_does() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert isinstance(import_module(project["code_location_target_module"]).definitions, dg.Definitions)
    assert project["code_location_name"] in (ROOT / "workspace.yaml").read_text()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dagster_dg_cli") is None, reason="dagster-dg-cli is not installed")
def test_dg_finds_nothing_wrong(tmp_path: Path) -> None:
    program = shutil.which("dg", path=str(Path(sys.executable).parent))
    assert program is not None
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGEMENT_")}
    variables["DAGSTER_HOME"] = str(tmp_path)
    command = [program, "check", "defs"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
