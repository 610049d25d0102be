"""The chart, as far as it can be judged without a cluster. Where helm is, it is rendered."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from engagement_platform import __version__
from engagement_platform.settings import FIELDS, variable
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.docker.files import REPOSITORY, image
from engagement_platform_tests.kubernetes.chart import (
    CHART,
    LEAST,
    NAMESPACE,
    RELEASE,
    SECRETS,
    Manifest,
    helm,
    of_kind,
    pods,
    rendered,
)

needs_helm = pytest.mark.skipif(helm() is None, reason="helm is not there: make test-kubernetes builds it")
FULL = f"{RELEASE}-engagement-platform"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
EXECUTORS = ("processes", "pods")
CONFIGURATION = REPOSITORY / "dagster.yaml"


def test_it_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_instance_is_described_once() -> None:
    assert (CHART / "files/dagster.yaml").resolve() == CONFIGURATION


def test_the_schema_knows_every_value_and_no_other() -> None:
    jsonschema_rs.validate(SCHEMA, VALUES)
    jsonschema_rs.validate(SCHEMA, {**VALUES, **LEAST})
    assert _keys(VALUES) <= _names(SCHEMA)
    strangers = [{"image": {"name": "x"}}, {"runs": {"ressources": {}}}, {"image": {"tag": "latest"}}]
    strangers += [{"secrets": {"ENGAGEMENT_SOURCE_DSN": "postgresql://"}}, {"streamExecutor": "threads"}]
    for wrong in strangers:
        assert not jsonschema_rs.is_valid(SCHEMA, wrong), wrong


def test_the_settings_that_the_values_name_are_settings() -> None:
    known = {variable(name) for name in FIELDS}
    named = set(re.findall(r"ENGAGEMENT_[A-Z0-9_]+", (CHART / "values.yaml").read_text()))
    assert named <= known, named - known


@needs_helm
def test_helm_has_nothing_to_say(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(dict(LEAST)))
    command = [str(helm()), "lint", "--strict", str(CHART), "--values", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
def test_a_value_that_nobody_knows_is_refused() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered({**LEAST, "replicas": 3})
    assert "replicas" in refused.value.stderr


@needs_helm
@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_pod_is_as_restricted_as_pod_security_has_it(executor: str, tmp_path: Path) -> None:
    manifests = rendered({**LEAST, "streamExecutor": executor})
    every = {**pods(manifests), "run": run_of(manifests, tmp_path)["spec"]["template"]}
    assert set(every) == {"code", "daemon", "webserver", "page", "migrate", "end-runs", "run"}
    for name, pod in every.items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any(spec.get(host) for host in ("hostNetwork", "hostPID", "hostIPC")), name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert name == "migrate" or container["resources"]["limits"]["memory"], name
            assert container["image"].rpartition(":")[2] == __version__


@needs_helm
def test_what_runs_is_in_the_image() -> None:
    of = pods(rendered(LEAST))
    command = json.loads(image().last("CMD"))
    assert of["code"]["spec"]["containers"][0]["args"] == command
    mounts = {mount["mountPath"] for mount in of["code"]["spec"]["containers"][0]["volumeMounts"]}
    environment = image().environment
    assert {environment["DAGSTER_HOME"], environment["ENGAGEMENT_STATE_DIR"], "/tmp"} <= mounts
    assert image().last("USER") == "10001:10001"


@needs_helm
def test_a_secret_is_a_file_and_nothing_else(tmp_path: Path) -> None:
    manifests = rendered(LEAST)
    run = run_of(manifests, tmp_path)["spec"]["template"]
    for name, pod in ({**pods(manifests), "run": run}).items():
        if name == "end-runs":
            continue
        sources = next(each for each in pod["spec"]["volumes"] if each["name"] == "secrets")["projected"]["sources"]
        files = {
            item["path"]: (each["secret"]["name"], item["key"]) for each in sources for item in each["secret"]["items"]
        }
        assert files == {of: (one["secret"], one["key"]) for of, one in SECRETS.items()}
        (container,) = pod["spec"]["containers"]
        mount = next(each for each in container["volumeMounts"] if each["name"] == "secrets")
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert all(environment[f"{secret}_FILE"] == f"{mount['mountPath']}/{secret}" for secret in SECRETS)
        assert not environment.keys() & SECRETS.keys()
    assert not of_kind(manifests, "Secret")


@needs_helm
def test_the_instance_is_the_repositorys_with_runs_as_jobs(tmp_path: Path) -> None:
    """A path exists on both sides of a launch, and no run is begun again by anybody but its sensor."""
    ours, here = yaml.safe_load(CONFIGURATION.read_text()), instance_of(rendered(LEAST))
    launcher = here.pop("run_launcher")
    assert launcher["class"] == "K8sRunLauncher"
    assert here.pop("local_artifact_storage")["config"]["base_dir"].startswith(
        image().environment["ENGAGEMENT_STATE_DIR"]
    )
    del ours["local_artifact_storage"]
    assert here["run_monitoring"].pop("max_resume_run_attempts") == 0
    assert here == ours
    from dagster._core.instance.config import dagster_instance_config

    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({**here, "run_launcher": launcher}))
    assert dagster_instance_config(str(tmp_path))[0]["run_launcher"]["class"] == "K8sRunLauncher"


@needs_helm
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_is_kept_by_a_budget_and_has_the_time_to_end(executor: str, tmp_path: Path) -> None:
    manifests = rendered({**LEAST, "streamExecutor": executor})
    budgets = [each["spec"] for each in of_kind(manifests, "PodDisruptionBudget").values()]
    run = run_of(manifests, tmp_path)
    labels, spec = run["spec"]["template"]["metadata"]["labels"], run["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 60
    assert (
        run["spec"]["template"]["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    )
    assert run["metadata"]["labels"]["engagement-platform/runs-of"] == RELEASE
    assert all(budget["minAvailable"] == 1 for budget in budgets)
    (container,) = spec["containers"]
    assert container["readinessProbe"]["initialDelaySeconds"] >= 20  # a run that starts up keeps nothing alive yet
    if executor == "processes":
        assert [_matches(budget, labels) for budget in budgets] == [True]
    else:
        kept = {budget["selector"]["matchLabels"]["dagster/op"] for budget in budgets}
        assert kept == set(NAMES)
        step = {**labels, "app.kubernetes.io/component": "step_worker", "dagster/op": "tally"}
        assert sum(_matches(budget, step) for budget in budgets) == 1


@needs_helm
@pytest.mark.parametrize("executor", EXECUTORS)
def test_nobody_may_do_more_than_he_has_to(executor: str, tmp_path: Path) -> None:
    manifests = rendered({**LEAST, "streamExecutor": executor})
    rights = rights_of(manifests)
    may_make = {"daemon"} | ({"runs"} if executor == "pods" else set())
    assert {name for name, may in rights.items() if "jobs:create" in may} == may_make
    assert not any("secrets" in one or "*" in one or "pods:create" in one for may in rights.values() for one in may)
    assert rights.keys() == may_make | {"code", "webserver", "end-runs"}
    assert of_kind(manifests, "ClusterRole") == {}
    described = {**pods(manifests), "runs": run_of(manifests, tmp_path)["spec"]["template"]}
    tokens = {name for name, pod in described.items() if pod["spec"]["automountServiceAccountToken"]}
    assert tokens == set(rights)


@needs_helm
def test_the_code_location_answers_dagster_alone() -> None:
    policies = of_kind(rendered(LEAST), "NetworkPolicy")
    (rule,) = policies["code"]["spec"]["ingress"]
    peers = {each["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in rule["from"]}
    assert (peers, rule["ports"]) == ({"webserver", "daemon"}, [{"port": 4000, "protocol": "TCP"}])
    assert all("ingress" not in policies[name]["spec"] for name in ("daemon", "runs"))
    assert not any("Egress" in policy["spec"]["policyTypes"] for policy in policies.values())


@needs_helm
def test_where_pods_may_go_is_limited_on_request(tmp_path: Path) -> None:
    only = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]
    manifests = rendered({**LEAST, "networkPolicy": {"egress": only}})
    out = [each["spec"] for each in of_kind(manifests, "NetworkPolicy").values() if "egress" in each["spec"]]
    labels = [run_of(manifests, tmp_path)["spec"]["template"]["metadata"]["labels"]]
    labels += [pod["metadata"]["labels"] for name, pod in pods(manifests).items()]
    for each in labels:
        (policy,) = [one for one in out if one["podSelector"]["matchLabels"].items() <= each.items()]
        assert only[0] in policy["egress"]


@needs_helm
def test_what_is_turned_off_leaves_nothing_behind() -> None:
    off = {"enabled": False}
    names = ("webserver", "page", "migrate", "endRuns", "networkPolicy", "serviceMonitor")
    manifests = rendered({**LEAST, **dict.fromkeys(names, off), "runs": {"disruptionBudget": False}})
    assert set(of_kind(manifests, "Deployment")) == {"code", "daemon"}
    for kind in ("Job", "NetworkPolicy", "ServiceMonitor", "PodDisruptionBudget"):
        assert of_kind(manifests, kind) == {}, kind
    assert set(of_kind(manifests, "ServiceAccount")) == {"code", "daemon", "runs"}


@needs_helm
def test_what_is_asked_for_is_there() -> None:
    identity = {"iam.gke.io/gcp-service-account": "engagement@project.iam.gserviceaccount.com"}
    manifests = rendered(
        {
            **LEAST,
            "serviceMonitor": {"enabled": True, "token": {"name": "engagement", "key": "page_token"}},
            "serviceAccounts": {"annotations": identity},
            "page": {"replicas": 2, "hosts": ["engagement.example.org"]},
        },
    )
    (monitor,) = of_kind(manifests, "ServiceMonitor").values()
    (page,) = (each for name, each in of_kind(manifests, "Service").items() if name == "page")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= page["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"]["key"] == "page_token"
    accounts = of_kind(manifests, "ServiceAccount")
    assert {name for name, each in accounts.items() if each["metadata"].get("annotations") == identity} == {
        "runs",
        "code",
        "page",
    }
    assert "--allow-host=engagement.example.org" in pods(manifests)["page"]["spec"]["containers"][0]["args"]
    assert "page" in of_kind(manifests, "PodDisruptionBudget")


def instance_of(manifests: list[Manifest]) -> dict[str, Any]:
    """Return the dagster.yaml of the release."""
    data = of_kind(manifests, "ConfigMap")[""]["data"]
    assert yaml.safe_load(data["workspace.yaml"])["load_from"][0]["grpc_server"]["host"] == f"{FULL}-code"
    found: dict[str, Any] = yaml.safe_load(data["dagster.yaml"])
    return found


def run_of(manifests: list[Manifest], folder: Path) -> dict[str, Any]:
    """Return the Job that Dagster's own launcher makes of the release's instance, for a run of the stream."""
    nowhere = folder / "kubeconfig"
    nowhere.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    from dagster import DagsterRun
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job
    from kubernetes import client

    config = instance_of(manifests)["run_launcher"]["config"]
    launcher = K8sRunLauncher(**{**config, "load_incluster_config": False, "kubeconfig_file": str(nowhere)})
    run = DagsterRun(job_name="engagement_stream")
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(f"engagement-platform:{__version__}", launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-x",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
        labels={"dagster/job": "engagement_stream", "dagster/run-id": "x"},
    )
    made: dict[str, Any] = client.ApiClient().sanitize_for_serialization(job)
    assert made["spec"]["template"]["spec"]["serviceAccountName"] == f"{FULL}-runs"
    return made


def rights_of(manifests: list[Manifest]) -> dict[str, set[str]]:
    """Return who may do what, as resource:verb, by the names of the accounts."""
    roles = of_kind(manifests, "Role")
    rights: dict[str, set[str]] = {}
    for binding in of_kind(manifests, "RoleBinding").values():
        role = roles[binding["roleRef"]["name"].removeprefix(f"{FULL}-")]
        for subject in binding["subjects"]:
            assert subject["namespace"] == NAMESPACE
            rights.setdefault(subject["name"].removeprefix(f"{FULL}-"), set()).update(
                f"{resource}:{verb}"
                for rule in role["rules"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            )
    return rights


def _matches(budget: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return bool(budget["selector"]["matchLabels"].items() <= labels.items())


def _keys(values: Mapping[str, Any]) -> set[str]:
    free = {"settings", "secrets", "requests", "limits", "annotations", "nodeSelector", "affinity", "labels", "token"}
    return set(values) | {
        key for name, each in values.items() if isinstance(each, dict) and name not in free for key in _keys(each)
    }


def _names(schema: Mapping[str, Any]) -> set[str]:
    """Return the names of all values that a schema describes."""
    described = schema.get("properties", {})
    found = set(described)
    for each in [*described.values(), *schema.get("$defs", {}).values()]:
        found |= _names(each)
    return found
