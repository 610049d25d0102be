"""A secret in a file is what the file holds when somebody asks, in whichever setting, and nothing says it."""

import os
from pathlib import Path

import pytest

from engagement_platform.console.doctor import effective
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import (
    FIELDS,
    SECRET,
    SecretFile,
    about,
    alerting,
    is_anybody_told,
    load,
    page,
    platform_dsn,
    source_dsn_of,
    variable,
)
from engagement_platform_tests.passwords import CANARY

_VALUES = {"source_dsn": f"postgresql://u:{CANARY}@h/media", "platform_dsn": f"postgresql://u:{CANARY}@h/platform",
           "redis_url": f"rediss://u:{CANARY}@h", "api_url": f"https://h/{CANARY}", "alert_url": f"https://h/{CANARY}",
           "api_proxy": f"http://u:{CANARY}@h:1", "alert_proxy": f"http://u:{CANARY}@h:1"}  # fmt: skip


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ENGAGEMENT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://127.0.0.1/media")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://127.0.0.1/platform")


def in_file(monkeypatch: pytest.MonkeyPatch, file: Path, name: str, text: str, stream: str = "engagement") -> None:
    file.write_text(text)
    monkeypatch.delenv(variable(name, stream), raising=False)
    monkeypatch.setenv(f"{variable(name, stream)}_FILE", str(file))


def test_there_are_no_settings_whose_file_could_be_taken_for_another_setting() -> None:
    assert not {f"{name}_file" for name in SECRET} & FIELDS.keys()


@pytest.mark.parametrize("name", SECRET)
def test_every_secret_may_come_as_a_file_which_is_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "secret"
    first = _VALUES.get(name, f"{CANARY}-of-more-than-16-characters")
    in_file(monkeypatch, file, name, f"\n {first}\n")
    settings = load()
    assert settings[name].get_secret_value() == first
    shown = {one.variable: one.value for one in effective(settings)}
    assert CANARY not in f"{settings!r} {settings} {shown}"
    assert str(file) in shown[variable(name)]
    file.write_text(f"{first}x")
    assert settings[name].get_secret_value() == f"{first}x"
    assert settings.replace(lease_seconds=1)[name].get_secret_value() == f"{first}x"


@pytest.mark.parametrize("content", ["", " \n", b"\xff\xfe", None])
def test_what_was_read_last_stays_while_the_file_is_being_replaced(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    secret = SecretFile("ENGAGEMENT_X", file)
    assert secret.get_secret_value() == "first"
    file.unlink() if content is None else file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert secret.get_secret_value() == "first"
    file.write_text("second")
    assert secret.get_secret_value() == "second"


def test_a_file_that_is_swapped_as_kubernetes_does_has_another_mark(tmp_path: Path) -> None:
    for version in ("first", "other"):
        (tmp_path / version).write_text(version)
    (tmp_path / "data").symlink_to(tmp_path / "first")
    secret = SecretFile("ENGAGEMENT_X", tmp_path / "data")
    before = secret.mark()
    assert before == secret.mark()
    (tmp_path / "new").symlink_to(tmp_path / "other")
    (tmp_path / "new").rename(tmp_path / "data")
    assert secret.mark() != before
    assert secret.get_secret_value() == "other"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), ("", "is empty"), ("x" * 5_000, "is too large")]
)
def test_a_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "secret"
    for name in ("redis_url", "api_token"):
        in_file(monkeypatch, file, name, content or "")
    if content is None:
        file.unlink()
    with pytest.raises(SettingsError) as raised:
        load()
    for name in ("REDIS_URL", "API_TOKEN"):
        assert f"ENGAGEMENT_{name}_FILE: {file} {said}" in str(raised.value)


def test_what_a_file_holds_is_looked_at_as_the_variable_would_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_file(monkeypatch, tmp_path / "a", "redis_url", f"http://u:{CANARY}@h")
    with pytest.raises(SettingsError, match="ENGAGEMENT_REDIS_URL: it must be a URL such as redis://") as raised:
        load()
    assert CANARY not in str(raised.value)
    in_file(monkeypatch, tmp_path / "a", "page_token", "short")
    with pytest.raises(SettingsError, match="ENGAGEMENT_PAGE_TOKEN: it must be a text of at least 16 characters"):
        page()


def test_a_secret_and_its_file_are_not_both_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_file(monkeypatch, tmp_path / "a", "api_token", "token")
    monkeypatch.setenv("ENGAGEMENT_API_TOKEN", CANARY)
    with pytest.raises(
        SettingsError, match="Both ENGAGEMENT_API_TOKEN and ENGAGEMENT_API_TOKEN_FILE are set"
    ) as raised:
        load()
    assert CANARY not in str(raised.value)


def test_what_needs_no_other_setting_takes_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("source_dsn", "platform_dsn", "alert_url"):
        in_file(monkeypatch, tmp_path / name, name, _VALUES[name])
    assert source_dsn_of() == _VALUES["source_dsn"]
    assert platform_dsn().get_secret_value() == _VALUES["platform_dsn"]
    assert is_anybody_told()
    assert alerting().url.get_secret_value() == _VALUES["alert_url"]
    monkeypatch.delenv("ENGAGEMENT_PLATFORM_DSN_FILE")
    with pytest.raises(SettingsError, match="ENGAGEMENT_PLATFORM_DSN: it is not set"):
        platform_dsn()


def test_a_stream_has_files_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENGAGEMENT_REDIS_URL", "redis://common")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__SOURCE_DSN", "postgresql://h/shop")
    in_file(monkeypatch, tmp_path / "orders", "redis_url", "redis://of-orders", "orders")
    assert load("orders").redis.url.get_secret_value() == "redis://of-orders"
    assert load().redis.url.get_secret_value() == "redis://common"
    with about("orders"):
        told = SettingsError("See to ENGAGEMENT_REDIS_URL, or ENGAGEMENT_REDIS_URL_FILE.").what
    assert told == "See to ENGAGEMENT_ORDERS__REDIS_URL, or ENGAGEMENT_ORDERS__REDIS_URL_FILE."
    monkeypatch.setenv("ENGAGEMENT_ORDERS__REDIS_URLS_FILE", "x")
    with pytest.raises(SettingsError, match="ENGAGEMENT_ORDERS__REDIS_URLS_FILE: there is no such setting"):
        load("orders")
