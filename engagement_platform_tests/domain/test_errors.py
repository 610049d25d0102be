"""No error text shows a password, whatever it is made of."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement_platform.domain.errors import EngagementError, redact
from engagement_platform_tests.passwords import CANARY, passwords, quoted


@given(
    passwords(), st.sampled_from(["postgresql://u:", "postgresql:/u:", "redis://:", "redis://a@b:", "amqp+tls://u:"])
)
@example("s3/cret" + CANARY, "redis://:")
@example(CANARY + " password=x", "redis://:")
@example("password='" + CANARY, "redis://:")
def test_a_url_shows_nothing_of_its_password(password: str, before: str) -> None:
    error = EngagementError(f"It failed: {before}{password}@host/media, said the client.", f"{before}{password}@host")
    assert CANARY not in str(error)
    assert "It failed" in error.what
    assert error.todo.endswith("@host") or "***" in error.todo


@given(passwords(), st.sampled_from(["password", "PASSWORD ", "sslpassword", "oauth_client_secret"]))
@example("' '", "password")
@example("\\' \\", "password")
@example("x://y:' @", "password")
def test_a_quoted_dsn_shows_nothing_of_its_password(password: str, name: str) -> None:
    shown = redact(f"host=db {name}={quoted(password)} dbname=media")
    assert CANARY not in shown
    assert shown.startswith("host=db")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@w@db/media is wrong", "postgresql://u:***@db/media is wrong"),
        ("postgresql:/u:secret@h", "postgresql:/u:***@h"),
        ("host=db user=x password=hunter2 dbname=media", "host=db user=x password=*** dbname=media"),
        ("redis://:s3/cret@cache:6379/0", "redis://:***@cache:6379/0"),
        (r"password='a\' b' dbname=media", "password=*** dbname=media"),
        (r"password=a\ b dbname=media", "password=*** dbname=media"),
        ("password='cut off", "password=***"),
    ],
)
def test_what_is_no_secret_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    ["Kafka at 127.0.0.1:9092 does not answer.", "See http://127.0.0.1:3000/runs.", "postgresql://u@h/media", "a: b@c"],
)
def test_a_text_without_a_password_is_left_alone(text: str) -> None:
    assert redact(text) == text
