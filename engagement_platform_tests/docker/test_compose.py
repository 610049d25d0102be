"""What can be said of the compose file and of the image without running them."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from yaml import safe_load

from engagement_platform.console import example
from engagement_platform.console.commands import doctor
from engagement_platform.console.serve.commands import serve
from engagement_platform.local import kafka
from engagement_platform.local.generator.commands import generate
from engagement_platform.settings import FIELDS, variable
from engagement_platform_tests.docker.files import (
    DOCKER,
    REPOSITORY,
    Service,
    compose,
    environment_file,
    image,
    json_list,
    services,
    stages,
)

ALL = services("demo") | services("core")
OURS = [name for name, service in ALL.items() if service.is_ours]
CODE = ["code", "code-demo"]
PAGES = ["page", "page-demo"]
CHECKS = ["settings", "settings-demo"]


@pytest.fixture(params=ALL)
def service(request: pytest.FixtureRequest) -> Service:
    return ALL[request.param]


def test_the_demo_has_a_source_and_a_partner_and_the_core_has_not() -> None:
    shared = {"passwords", "postgres", "kafka", "valkey", "webserver", "daemon"}
    assert services("demo").keys() == shared | {"settings-demo", "code-demo", "page-demo", "generator", "receiver"}
    assert services("core").keys() == shared | {"settings", "code", "page"}
    assert environment_file(DOCKER / ".env")["COMPOSE_PROFILES"] == "demo"


def test_a_service_may_change_nothing_but_its_volumes(service: Service) -> None:
    raw = service.raw
    assert raw["read_only"] is True
    assert raw["cap_drop"] == ["ALL"]
    assert raw["security_opt"] == ["no-new-privileges:true"]
    assert not raw.keys() & {"privileged", "cap_add", "network_mode", "pid"} or raw.get("network_mode") == "none"
    assert service.user > (0, 0)
    declared = compose()["volumes"]
    for source, target, writable in service.mounts:
        assert source in declared or (DOCKER / source).exists()
        assert target.startswith("/")
        assert not (writable and source.startswith("."))


def test_a_service_has_limits(service: Service) -> None:
    limits = service.raw["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert all(re.search(r"size=\d+m", options) for options in service.tmpfs.values())


def test_every_image_is_pinned() -> None:
    theirs = {service.raw["image"] for service in ALL.values() if not service.is_ours}
    bases = {stage.base for stage in stages()} - {stage.name for stage in stages()}
    assert len(theirs) == 3
    for name in theirs | bases:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?(-[a-z-]+)?", name), name
    assert f"apache/kafka:{kafka.VERSION}" in theirs, "not the version of the tests"


def test_only_the_pages_and_the_webserver_are_published_and_on_loopback_alone() -> None:
    published = {name: service.raw["ports"] for name, service in ALL.items() if "ports" in service.raw}
    assert published == {"webserver": ["127.0.0.1:3000:3000"], **{key: ["127.0.0.1:3010:3010"] for key in PAGES}}
    development = safe_load((DOCKER / "compose.dev.yaml").read_text())["services"]
    ports = [port for each in development.values() for port in each.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_networks_within_reach_of_others_have_none_but_our_own_programs() -> None:
    networks = compose()["networks"]
    assert [name for name, network in networks.items() if network.get("internal")] == ["inside"]
    outside = {name for name, service in ALL.items() if "outside" in service.raw.get("networks", [])}
    assert outside == {*CODE, *PAGES, "webserver", "daemon"}


def test_no_password_is_written_down() -> None:
    for name, value in _variables():
        if re.search("PASSWORD|SECRET|TOKEN|_KEY|DSN|REDIS_URL", name) and name != "PASSWORDS":
            assert name.endswith("_FILE"), f"{name} in the compose file"
            assert value.startswith("/run/passwords/")
    assert not re.search(r"://[^/\s]*:[^/\s]*@", (DOCKER / "compose.yaml").read_text())


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {variable(name) for name in FIELDS} | {f"{name}_FILE" for name in example.from_file()}
    named = {name for name, _ in _variables() if name.startswith("ENGAGEMENT_")} | {
        name for name in image().environment if name.startswith("ENGAGEMENT_")
    }
    assert len(named) >= 8
    assert named <= known | {"ENGAGEMENT_LOCAL_WRITER_DSN_FILE"}
    assert "ENGAGEMENT_LOCAL_WRITER_DSN" in {option.envvar for option in generate.params}


def _variables() -> Iterator[tuple[str, str]]:
    for service in ALL.values():
        own = image().environment if service.is_ours else {}
        yield from (pair for pair in service.environment.items() if pair[0] not in own)


def test_settings_of_your_own_are_taken_before_the_bundled_ones() -> None:
    told = {name: service for name, service in ALL.items() if "env_file" in service.raw}
    assert told.keys() == {*CHECKS, *CODE, *PAGES, "webserver", "daemon"}, "the others need no secrets of yours"
    bundled = environment_file(DOCKER / "servers.env").keys() | environment_file(DOCKER / "demo.env").keys()
    for service in told.values():
        assert service.raw["env_file"][-1] == {"path": "../.env", "required": False}
        assert not bundled & service.raw.get("environment", {}).keys()


def test_every_variable_of_the_compose_file_has_a_default() -> None:
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "compose.dev.yaml").read_text()
    used = set(re.findall(r"(?<!\$)\$\{(\w+):-[^}]+\}", text))
    assert used >= {"UI_PORT", "GENERATOR_RATE"}
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(re.findall(r"(?<!\$)\$\{\w+:-[^}]+\}", text))
    assert environment_file(DOCKER / ".env").keys() - {"COMPOSE_PROFILES"} <= used


@pytest.mark.parametrize("profile", ["demo", "core"])
def test_services_wait_for_the_health_of_what_they_need(profile: str) -> None:
    found = services(profile)
    for service in found.values():
        for name, need in service.raw.get("depends_on", {}).items():
            if name not in found:
                assert need["required"] is False, f"{service.name} waits for {name}, which is not of {profile}"
            elif need["condition"] == "service_healthy":
                assert found[name].health, f"{name} has no health check"
            else:
                assert (need["condition"], found[name].raw["restart"]) == ("service_completed_successfully", "no")
    assert "daemon" not in _all_needs(found, "webserver")
    assert {"passwords", "postgres", "kafka", "valkey", "webserver"} <= _all_needs(found, "daemon")


def test_a_start_without_usable_settings_ends_before_the_code_location_idles() -> None:
    for check, code in zip(CHECKS, CODE, strict=True):
        assert ALL[check].argv[1:] == ["engagement-platform", "doctor", "--settings"]
        needed = ALL[code].raw["depends_on"][check]
        assert needed == {"condition": "service_completed_successfully"}, "where not required, its end is a warning"
        assert ALL[check].raw["env_file"] == ALL[code].raw["env_file"], "they look at the same settings"
    assert "--settings" in {option for each in doctor.params for option in each.opts}


def test_the_daemon_and_the_webserver_wait_for_the_code_location_however_they_are_started() -> None:
    """`docker compose restart` starts all at once, whatever they depend on."""
    for name in ("daemon", "webserver"):
        assert ALL[name].argv[1] == "after-code.sh"
    location = safe_load((DOCKER / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    assert f"healthy.py grpc {location['host']}:{location['port']}" in (DOCKER / "after-code.sh").read_text()


def test_what_the_runs_deliver_to_ends_after_them() -> None:
    needs = _all_needs(services("demo"), "code-demo")
    assert needs >= {"receiver", "postgres", "kafka", "valkey"}


def test_kafka_has_a_place_for_all_that_its_image_would_make_volumes_for_and_writes_no_files_of_logs() -> None:
    """An engine with runc before 1.1.8 gives a tmpfs the mode of the image's folder: its owner has to be the user."""
    kafka = ALL["kafka"]
    mounted = {target for _, target, _ in kafka.mounts} | kafka.tmpfs.keys()
    assert mounted >= {"/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"}, "as its Dockerfile declares"
    for written in ("/opt/kafka/config", "/opt/kafka/logs"):
        assert "uid=1000,gid=1000" in kafka.tmpfs[written]
    assert kafka.environment["KAFKA_LOG4J_OPTS"].endswith("/tools-log4j2.yaml")
    for topic in ("OFFSETS_TOPIC", "TRANSACTION_STATE_LOG"):
        assert kafka.environment[f"KAFKA_{topic}_NUM_PARTITIONS"] == "1", "as the local stack has it"


def test_the_daemon_does_not_print_each_tick_of_its_sensors() -> None:
    assert ALL["daemon"].argv[4:6] == ["--log-level", "warning"]


def _all_needs(found: dict[str, Service], name: str) -> set[str]:
    direct = found[name].needs.keys() & found.keys()
    return set(direct).union(*(_all_needs(found, each) for each in direct))


def test_every_program_exists() -> None:
    programs = Path(sys.executable).parent
    copied = {
        Path(word).name for _, text in image().instructions for word in text.split() if word.startswith("docker/")
    }
    for name in OURS:
        words = [word for line in (ALL[name].argv[1:], (ALL[name].health or [""])[1:]) for word in line]
        text = " ".join(words)
        for module in re.findall(r"(?:-m|--module-name) ([\w.]+)", text):
            assert importlib.util.find_spec(module), module
        for program in filter(None, (ALL[name].argv[1], *(ALL[name].health or [])[1:2])):
            assert program == "sh" or program in copied or (programs / program).exists(), program
        for path in re.findall(r"/etc/engagement/\S+", text):
            assert Path(path).name in copied


def test_programs_are_executable_and_found_in_the_image() -> None:
    copy = next(text for keyword, text in image().instructions if keyword == "COPY" and "entry.sh" in text)
    assert "--chmod=0755" in copy
    assert copy.endswith("/usr/local/bin/")
    assert json_list(image().last("ENTRYPOINT")) == ["/usr/local/bin/entry.sh"]
    assert image().environment["PATH"].startswith("/opt/engagement/bin:/usr/local/bin")


def test_the_ports_agree() -> None:
    location = safe_load((DOCKER / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    port = str(location["port"])
    command = json_list(image().last("CMD"))
    assert command[command.index("--port") + 1] == port
    assert f'["healthy.py", "grpc", "{port}"]' in image().last("HEALTHCHECK")
    assert all(ALL[name].health == ["CMD", "healthy.py", "grpc", port] for name in CODE)
    assert all(location["host"] in ALL[name].raw["networks"]["inside"]["aliases"] for name in CODE)
    webserver = ALL["webserver"]
    assert "--port=3000" in webserver.argv
    assert set(image().last("EXPOSE").split()) == {"3000", "3010", port}
    for name in PAGES:
        assert "--port=3010" in ALL[name].argv
        assert ALL[name].health == ["CMD", "healthy.py", "http", "http://127.0.0.1:3010/livez"]
    assert environment_file(DOCKER / "servers.env")["ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert "PLAINTEXT://kafka:9092" in ALL["kafka"].environment["KAFKA_ADVERTISED_LISTENERS"]
    assert environment_file(DOCKER / "demo.env")["ENGAGEMENT_API_URL"] == "http://receiver:8081/events"
    assert "--port 8081 --control-port 8082" in ALL["receiver"].argv[-1]
    assert ALL["receiver"].health == ["CMD", "healthy.py", "http", "http://127.0.0.1:8082/state"]


def test_a_check_that_needs_secrets_passes_through_the_entry_point() -> None:
    """Docker runs checks beside the entry point: ENGAGEMENT_PLATFORM_DSN would not be set."""
    assert ALL["daemon"].health == ["CMD", "entry.sh", "dagster-daemon", "liveness-check"]


def test_the_code_location_names_itself_as_the_workspace_does() -> None:
    command = json_list(image().last("CMD"))
    own = safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    assert command[command.index("--module-name") + 1] == own["module_name"]
    docker = safe_load((DOCKER / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    assert command[command.index("--location-name") + 1] == docker["location_name"] == own["location_name"]


def test_what_the_image_is_built_from_exists_and_is_sent_to_the_builder() -> None:
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for stage in stages():
        for keyword, text in stage.instructions:
            if keyword == "COPY" and "--from" not in text:
                for source in [word for word in text.split()[:-1] if not word.startswith("--")]:
                    assert (REPOSITORY / source).exists()
                    assert any(Path(source).match(pattern) for pattern in sent), source


def test_the_wheel_is_built_beside_all_the_files_that_it_takes_in() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    needed = {project["project"]["readme"], *project["project"]["license-files"]}
    needed |= project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].keys()
    (build,) = [stage for stage in stages() if stage.name == "build"]
    copied = {word for keyword, text in build.instructions if keyword == "COPY" for word in text.split()}
    assert needed <= copied


def test_state_and_configuration_are_where_the_image_says() -> None:
    assert image().environment["DAGSTER_HOME"] == "/etc/engagement"
    copied = [text for keyword, text in image().instructions if keyword == "COPY" and text.endswith("/etc/engagement/")]
    assert [set(text.split()[:-1]) for text in copied] == [{"dagster.yaml", "docker/workspace.yaml"}]
    state = image().environment["ENGAGEMENT_STATE_DIR"]
    for name in CODE:
        targets = {source: target for source, target, _ in ALL[name].mounts}
        assert (targets["state"], targets["warehouse"]) == (state, f"{state}/warehouse")
    assert image().last("WORKDIR") == state, "dagster.yaml names a folder below the present one"


def test_the_override_puts_the_code_where_the_image_has_it() -> None:
    (base,) = {stage.base for stage in stages()} - {stage.name for stage in stages()}
    python = re.search(r"python:(\d+\.\d+)", base)
    assert python is not None
    development = safe_load((DOCKER / "compose.dev.yaml").read_text())["services"]
    mounts = {volume for each in development.values() for volume in each.get("volumes", [])}
    package = f"/opt/engagement/lib/python{python[1]}/site-packages/engagement_platform"
    assert mounts == {f"../engagement_platform:{package}:ro"}
    assert development.keys() <= ALL.keys()


def test_the_options_of_the_page_are_options() -> None:
    options = {option for each in serve.params for option in each.opts}
    for name in PAGES:
        assert {word.partition("=")[0] for word in ALL[name].argv if word.startswith("--")} <= options


def test_the_generators_rate_is_one_of_its_options() -> None:
    options = {option for each in generate.params for option in each.opts}
    assert {word for word in ALL["generator"].argv if word.startswith("--")} <= options


def _has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _has_compose(), reason="there is no docker compose")
@pytest.mark.parametrize("profile", ["demo", "core"])
def test_compose_itself_takes_the_files(profile: str) -> None:
    files = ["-f", "docker/compose.yaml", "-f", "docker/compose.dev.yaml"]
    subprocess.run(["docker", "compose", *files, "--profile", profile, "config", "--quiet"], cwd=REPOSITORY, check=True)
