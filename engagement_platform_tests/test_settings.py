import pytest

from engagement_platform.domain.errors import SettingsError, redact
from engagement_platform.settings import load


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://127.0.0.1/media")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://127.0.0.1/platform")


def test_a_missing_setting_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGAGEMENT_SOURCE_DSN")
    with pytest.raises(SettingsError, match="ENGAGEMENT_SOURCE_DSN: it is not set"):
        load()


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", "soon")
    with pytest.raises(SettingsError, match="ENGAGEMENT_LEASE_SECONDS") as raised:
        load()
    assert raised.value.todo


@pytest.mark.parametrize(("lease", "lead"), [("600", 60), ("30", 30), ("0", 0)])
def test_the_lead_is_at_most_a_lease(monkeypatch: pytest.MonkeyPatch, lease: str, lead: float) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", lease)
    assert load().effective_lead_seconds == lead


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://reader:hunter2@db/media",
        "redis://:hunter2@cache:6379/0",
        "host=db user=x password=hunter2 dbname=media",
        "host=db password='hunter2 hunter2' dbname=media",
    ],
)
def test_passwords_are_taken_out_of_texts(text: str) -> None:
    assert "hunter2" not in redact(text)
    assert "***" in redact(text)
