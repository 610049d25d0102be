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

SECRETS = [
    *example.from_file(),
    "ENGAGEMENT_LOCAL_WRITER_DSN",
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
def test_every_secret_may_come_as_a_file(tmp_path: Path, name: str) -> None:
    text = "postgresql://u:p%20'\"$x `id` ;\\n@h/d"
    (tmp_path / "secret").write_text(text + "\n")
    found = _environment({f"{name}_FILE": str(tmp_path / "secret")})
    assert found[name] == text
    assert f"{name}_FILE" not in found


@pytest.mark.parametrize("given", ["redis://of-the-variable", "redis://of-the-file"])
def test_what_is_set_is_taken_before_a_file(tmp_path: Path, given: str) -> None:
    (tmp_path / "secret").write_text("redis://of-the-file")
    variable = "" if given.endswith("file") else given
    found = _environment({"ENGAGEMENT_REDIS_URL": variable, "ENGAGEMENT_REDIS_URL_FILE": str(tmp_path / "secret")})
    assert found["ENGAGEMENT_REDIS_URL"] == given


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    done = _entered({"ENGAGEMENT_SOURCE_DSN_FILE": str(tmp_path / "none")})
    assert done.returncode == 1
    assert f"ENGAGEMENT_SOURCE_DSN_FILE names {tmp_path}/none, which cannot be read" in done.stderr
    assert "what to do:" in done.stderr
    assert not done.stdout


def test_files_that_the_platform_reads_itself_are_left_to_it(tmp_path: Path) -> None:
    found = _environment({"ENGAGEMENT_API_TOKEN_FILE": str(tmp_path / "token")})
    assert found["ENGAGEMENT_API_TOKEN_FILE"] == str(tmp_path / "token")
    assert "ENGAGEMENT_API_TOKEN" not in found


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


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_scripts_pass_shellcheck() -> None:
    subprocess.run(["shellcheck", *map(str, DOCKER.glob("*.sh"))], check=True)
