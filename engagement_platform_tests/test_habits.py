"""What is run before a commit, on each change and every week is the same as what a person runs by hand."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from engagement_platform_tests.order import LONG, MEANWHILE, OWN_SERVERS, WHOLE_SYSTEMS
from engagement_platform_tests.scripts import module_of

ROOT = Path(__file__).parents[1]
HOOKS = ROOT / ".pre-commit-config.yaml"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"

MAKE = """#!/bin/sh
# Stands in for make in the clone: notes what it is asked for, and whether that is of a commit.
echo "$*; uncommitted: $(git status --porcelain | wc -l | tr -d ' ')" >>"$ASKED"
[ "$1" != lock ] || printf 'one==2\\nthree==1\\n' >requirements.lock
"""


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def commands_of(target: str) -> list[str]:
    """Return what make would run, also where make runs these tests."""
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "PYTHON=python3", target]
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=fresh, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def moved() -> ModuleType:
    return module_of(ROOT / ".ci" / "moved.py")


def test_the_hooks_before_a_commit_are_what_make_lint_runs() -> None:
    hooks = [hook for repository in read(HOOKS)["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == commands_of("lint")
    for hook in hooks:  # of all files, as `make lint` does
        assert (hook["language"], hook["always_run"], hook["pass_filenames"]) == ("system", True, False)


def test_the_hooks_need_no_other_repository() -> None:
    assert [repository["repo"] for repository in read(HOOKS)["repos"]] == ["local"]


def test_each_change_is_held_to_the_locked_releases_and_each_week_to_the_newest() -> None:
    workflow = read(WORKFLOW)
    when = workflow[True]  # YAML reads the key `on` as a truth
    assert {"push", "pull_request", "schedule"} <= when.keys()
    weekday = when["schedule"][0]["cron"].split()[-1]
    assert weekday.isdigit()
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    assert runs == {
        "locked": [".ci/run"],
        "whole-systems": [".ci/run test-newcomer test-whole"],
        "newest": [".ci/run newest"],
    }
    assert "schedule" in workflow["jobs"]["newest"]["if"]
    assert "schedule" not in workflow["jobs"]["locked"]["if"]


def test_every_file_that_a_hook_or_a_workflow_runs_is_there_and_can_be_run() -> None:
    runs = [step["run"] for job in read(WORKFLOW)["jobs"].values() for step in job["steps"] if "run" in step]
    for command in [*runs, *commands_of("lock-check")]:
        program = next(word for word in shlex.split(command) if "=" not in word)
        assert os.access(ROOT / program, os.X_OK)


def test_a_moved_package_is_named_with_both_versions(moved: ModuleType) -> None:
    old = "one==1 \\\n    --hash=sha256:0\n    # via two\ntwo[extra]==1.0 ; python_version < '3.12'\ngone==1\nsame==1\n"
    new = "one==2 \\\n    --hash=sha256:1\ntwo[extra]==1.0 ; python_version < '3.12'\ntwo==1.1\nsame==1\nthree==1\n"
    assert moved.moved(old, new) == ["gone: 1 -> gone", "one: 1 -> 2", "three: new -> 1", "two: 1.0 -> 1.0, 1.1"]
    assert moved.moved(old, old) == []


def test_every_package_of_the_lock_is_seen(moved: ModuleType) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert len(moved.versions(lock)) == len(
        {line.partition("==")[0] for line in lock.splitlines() if "==" in line[:60]}
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with this one's scripts and a lock of one package."""
    folder = tmp_path / "repository"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".ci").mkdir()
    for name in ("run", "moved.py"):
        file = folder / ".ci" / name
        file.write_bytes((ROOT / ".ci" / name).read_bytes())
        file.chmod(0o755)
    (folder / ".gitignore").write_text(".venv/\n")
    (folder / ".venv" / "bin" / "uv").write_text("#!/bin/sh\n")
    (folder / ".venv" / "bin" / "uv").chmod(0o755)
    (folder / "requirements.lock").write_text("one==1\n")
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "All"]):
        subprocess.run([*git, *command], check=True)
    return folder


def run(repository: Path, *arguments: str) -> tuple[str, list[str]]:
    """Run .ci/run with a stand-in for make; return what it says, and what it asked of make."""
    programs = repository.parent / "programs"
    programs.mkdir()
    for name, text in {"make": MAKE, "apt-get": "#!/bin/sh\nexit 1\n", "sudo": '#!/bin/sh\nshift\n"$@"\n'}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    asked = repository.parent / "asked"
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(repository.parent), "ASKED": str(asked)}
    command = [str(repository / ".ci" / "run"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout, asked.read_text().splitlines()


def test_what_lands_is_held_to_the_lock_as_it_is(repository: Path) -> None:
    said, asked = run(repository)
    every = ["lint", "test", "test-bqemulator"]
    assert asked == [f"{target}; uncommitted: 0" for target in every]
    assert [line.split(":")[0] for line in said.splitlines()] == [f"make {target}" for target in every]


def test_whole_systems_are_a_run_of_their_own(repository: Path) -> None:
    _, asked = run(repository, "test-newcomer", "test-whole")
    assert asked == ["test-newcomer; uncommitted: 0", "test-whole; uncommitted: 0"]


def test_the_newest_releases_are_tried_in_a_clone_and_named(repository: Path) -> None:
    said, asked = run(repository, "newest", "lint", "test-fast")
    uv = repository / ".venv" / "bin" / "uv"
    assert asked == [
        f"lock UV={uv} ARGS=--upgrade; uncommitted: 0",
        *(f"{t}; uncommitted: 0" for t in ("lint", "test-fast")),
    ]
    assert said.splitlines()[:2] == ["one: 1 -> 2", "three: new -> 1"]
    assert (repository / "requirements.lock").read_text() == "one==1\n"


def test_make_lock_check_is_the_weekly_run_with_the_quick_tests() -> None:
    assert commands_of("lock-check") == ["PYTHON=python3 .ci/run newest lint test-fast"]


def test_the_files_that_go_together_are_there() -> None:
    """Else whole systems would run beside each other, and starve."""
    assert all((ROOT / file).is_file() for file in (*WHOLE_SYSTEMS, *OWN_SERVERS, *MEANWHILE, *LONG))


def test_whoever_breaks_servers_shares_them() -> None:
    files = {file: file.read_text() for file in (ROOT / "engagement_platform_tests").rglob("test_*.py")}
    breaking = {
        str(file.relative_to(ROOT))
        for file, text in files.items()
        if re.search(r"\bown_stack\w*:", text) and not re.search(r"pytest\.mark\.(newcomer|whole)", text)
    }
    assert breaking <= {*WHOLE_SYSTEMS, *OWN_SERVERS}
