"""The chart as it is rendered by helm, for tests."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from engagement_platform_tests.docker.files import REPOSITORY

CHART = REPOSITORY / "deploy/helm/engagement-platform"
RELEASE, NAMESPACE = "media", "data"

Manifest = dict[str, Any]

LEAST: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("values-least.yaml").read_text())
"""Values with which something can stream."""
SECRETS: Mapping[str, Any] = LEAST["secrets"]


def helm() -> Path | None:
    """Return where helm is: on the path, or as `make test-kubernetes` has built it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "engagement-platform/kubernetes/bin/helm"
    named = shutil.which("helm")
    return Path(named) if named else built if built.exists() else None


def rendered(values: Mapping[str, Any]) -> list[Manifest]:
    """Return what helm makes of the chart, hooks included. Raises CalledProcessError with what helm says."""
    return _rendered(yaml.safe_dump(dict(values)))


@cache
def _rendered(values: str) -> list[Manifest]:
    command = [str(helm()), "template", RELEASE, str(CHART), "--kube-version=1.34.4", "--namespace", NAMESPACE]
    done = subprocess.run([*command, "--values", "-"], input=values, capture_output=True, text=True, check=True)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(manifests: Sequence[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the manifests of a kind by their names, less the release's."""
    prefix = f"{RELEASE}-engagement-platform"
    return {
        each["metadata"]["name"].removeprefix(prefix).lstrip("-"): each for each in manifests if each["kind"] == kind
    }


def pods(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return the descriptions of the pods that the chart itself makes, by the names of what makes them."""
    kinds = of_kind(manifests, "Deployment") | of_kind(manifests, "Job")
    return {name: each["spec"]["template"] for name, each in kinds.items()}
