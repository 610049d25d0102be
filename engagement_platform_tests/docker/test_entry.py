import base64
import os
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engagement_platform.console import example
from engagement_platform.domain import addresses, signing
from engagement_platform_tests.docker.files import DOCKER, environment_file

_WRITER = "ENGAGEMENT_LOCAL_WRITER_DSN"
SECRETS = [
    *example.from_file(),
    "ENGAGEMENT_ORDERS__SOURCE_DSN",
    "ENGAGEMENT_A_1__API_URL",
]


def _entered(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(DOCKER / "entry.sh"), "env", "-0"]
    return subprocess.run(
        command, env={"PATH": os.defpath} | environment, capture_output=True, text=True, check=False, timeout=10
    )


def _environment(environment: dict[str, str]) -> dict[str, str]:
    done = _entered(environment)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.mark.parametrize("name", SECRETS)
def test_files_of_secrets_are_left_to_the_platform_which_reads_them_again(tmp_path: Path, name: str) -> None:
    file = {f"{name}_FILE": str(tmp_path / "none")}
    assert _environment(file).items() >= file.items()
    assert name not in _environment(file)


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_set_is_taken_before_a_file(name: str) -> None:
    text = "postgresql://u:p%20'\"$x `id` ;\\n@h/d"
    found = _environment({name: text, f"{name}_FILE": "/run/passwords/secret"})
    assert found[name] == text
    assert f"{name}_FILE" not in found


def test_files_that_are_no_secrets_stay() -> None:
    files = {"ENGAGEMENT_API_CA_FILE": "/ca.pem", "ENGAGEMENT_BIGQUERY_CREDENTIALS_FILE": "/key.json"}
    assert _environment(files).items() >= files.items()


def test_the_generator_gets_what_is_in_its_file(tmp_path: Path) -> None:
    text = "postgresql://u:p%20'\"$x `id` ;\\n@h/d"
    (tmp_path / "secret").write_text(text + "\n")
    assert _environment({_WRITER + "_FILE": str(tmp_path / "secret")})[_WRITER] == text
    assert _entered({_WRITER + "_FILE": str(tmp_path / "none")}).returncode != 0


def test_the_program_takes_the_place_of_the_shell_and_keeps_its_exit_code() -> None:
    script = "ps -o ppid= -p $$ | tr -d ' '; exit 7"
    done = subprocess.Popen([str(DOCKER / "entry.sh"), "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    out, _ = done.communicate(timeout=10)
    assert (done.returncode, out.strip()) == (7, str(os.getpid()))


def _made_up(folder: Path) -> dict[str, str]:
    subprocess.run([str(DOCKER / "passwords.sh"), str(folder)], check=True, timeout=10)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_passwords_are_made_up_once_and_no_two_are_the_same(tmp_path: Path) -> None:
    first = _made_up(tmp_path)
    assert _made_up(tmp_path) == first
    assert len(set(first.values())) == len(first)
    (tmp_path / "other").mkdir()
    assert not set(_made_up(tmp_path / "other").values()) & set(first.values())


def test_a_password_that_was_half_written_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres").touch()
    (tmp_path / "valkey.new").write_text("ab")
    found = _made_up(tmp_path)
    assert len(found["postgres"]) == len(found["valkey"]) == 48
    assert "valkey.new" not in found


def test_passwords_are_for_their_owner_and_its_group_alone(tmp_path: Path) -> None:
    names = _made_up(tmp_path)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o640}


def test_the_addresses_carry_the_passwords_and_are_well_formed(tmp_path: Path) -> None:
    found = _made_up(tmp_path)
    for name, owner in (
        ("writer_dsn", "media_owner"),
        ("source_dsn", "engagement_reader"),
        ("platform_dsn", "engagement_platform"),
    ):
        assert addresses.postgres_url_fault(found[name]) is None
        assert (urlsplit(found[name]).username, urlsplit(found[name]).password) == (owner, found[owner])
    assert addresses.redis_fault(found["redis_url"]) is None
    assert urlsplit(found["redis_url"]).password == found["valkey"]
    (secret,) = signing.secrets_of(found["api_signing_key"])
    assert base64.b64encode(secret).decode() in found["api_signing_key"]


def test_files_of_passwords_that_are_asked_for_are_made(tmp_path: Path) -> None:
    made = _made_up(tmp_path)
    asked = environment_file(DOCKER / "servers.env") | environment_file(DOCKER / "demo.env")
    files = {Path(value) for value in asked.values() if value.startswith("/run/passwords/")}
    assert len(files) == 4
    assert {file.name for file in files} <= made.keys()


def test_a_program_starts_once_the_code_location_serves(tmp_path: Path) -> None:
    check, asked = tmp_path / "healthy.py", tmp_path / "asked"
    check.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n[ "$(wc -l < {asked})" -ge 3 ]\n')
    check.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(DOCKER / "after-code.sh"), "echo", "it runs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "it runs\n"
    assert asked.read_text() == "grpc code:4000\n" * 3, "asked until it serves, and no more"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_scripts_pass_shellcheck() -> None:
    subprocess.run(["shellcheck", *map(str, DOCKER.glob("*.sh"))], check=True)
