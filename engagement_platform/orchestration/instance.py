"""The configuration of Dagster's instance: `dagster.yaml` at the repository's root, which the wheel brings along."""

import json
from importlib import resources
from pathlib import Path

FILE = "dagster.yaml"
_BASE_DIR = "base_dir: .engagement/dagster"


def configuration(base_dir: Path) -> str:
    """Return the text of a dagster.yaml that keeps Dagster's files in `base_dir`, an absolute path."""
    beside = resources.files(__package__) / FILE
    text = beside.read_text() if beside.is_file() else (Path(__file__).parents[2] / FILE).read_text()
    quoted = json.dumps(str(base_dir), ensure_ascii=False)  # which YAML reads, too
    return text.replace(_BASE_DIR, f"base_dir: {quoted}")


def home_of(folder: Path, state: Path) -> Path:
    """Return the folder for DAGSTER_HOME: `folder` where it has a dagster.yaml, else `state`, which gets one."""
    if (folder / FILE).exists():
        return folder
    state.mkdir(parents=True, exist_ok=True)
    (state / FILE).write_text(configuration(state / "dagster"))
    return state
