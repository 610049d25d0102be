import os
import traceback
from contextlib import suppress
from unittest import mock

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr, ValidationError

from engagement_platform.domain.errors import SettingsError
from engagement_platform.local import commands as local_commands
from engagement_platform.settings import (
    FIELDS,
    STREAM,
    Settings,
    about,
    default_of,
    first_day,
    load,
    streams_with_settings,
    variable,
)
from engagement_platform.settings.settings import OWN, PATHS, SHARED
from engagement_platform_tests.passwords import CANARY, passwords, quoted

_COMMON = {
    "ENGAGEMENT_SOURCE_DSN": "postgresql://127.0.0.1/media",
    "ENGAGEMENT_PLATFORM_DSN": "postgresql://127.0.0.1/platform",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _COMMON.items():
        monkeypatch.setenv(name, value)


def test_a_missing_setting_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGAGEMENT_SOURCE_DSN")
    with pytest.raises(SettingsError, match="ENGAGEMENT_SOURCE_DSN: it is not set"):
        load()


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", "soon")
    with pytest.raises(SettingsError, match="ENGAGEMENT_LEASE_SECONDS") as raised:
        load()
    assert raised.value.todo


@pytest.mark.parametrize(
    ("lease", "asked", "lead"), [("600", "60", 60), ("30", "60", 30), ("0", "60", 0), ("600", None, 600)]
)
def test_the_lead_is_at_most_a_lease(
    monkeypatch: pytest.MonkeyPatch, lease: str, asked: str | None, lead: float
) -> None:
    monkeypatch.setenv("ENGAGEMENT_LEASE_SECONDS", lease)
    if asked is not None:
        monkeypatch.setenv("ENGAGEMENT_LEASE_LEAD_SECONDS", asked)
    assert load().lease.effective_lead_seconds == lead


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENGAGEMENT_REDIS_URL", "redis://:s3/hunter2@host"),
        ("ENGAGEMENT_REDIS_URL", "redis://:12/hunter2@host"),
        ("ENGAGEMENT_REDIS_URL", "redis://:[hunter2]@host"),
        ("ENGAGEMENT_REDIS_URL", "redis://:hunter2\udca1@host"),
        ("ENGAGEMENT_REDIS_URL", "hunter2"),
        ("ENGAGEMENT_SOURCE_DSN", "postgresql:/u:hunter2@h"),
        ("ENGAGEMENT_SOURCE_DSN", "postgresql://u:a@hunter2@h/media"),
        ("ENGAGEMENT_SOURCE_DSN", "postgresql://u:1/hunter2@h/media"),
        ("ENGAGEMENT_SOURCE_DSN", "postgresql://u:%hunter2@h/media"),
        ("ENGAGEMENT_SOURCE_DSN", "host=h password=a hunter2"),
        ("ENGAGEMENT_SOURCE_DSN", "host=h password='a'hunter2'"),
        ("ENGAGEMENT_SOURCE_DSN", "postgresql://u:%A1hunter2@h/media"),
        ("ENGAGEMENT_SOURCE_DSN", "host=h password=hunter2\udca1"),
        ("ENGAGEMENT_SOURCE_DSN", "hunter2"),
        ("ENGAGEMENT_PLATFORM_DSN", "host=h password=hunter2"),
        ("ENGAGEMENT_API_URL", "https://u:hunter2@partner.example/events"),
        ("ENGAGEMENT_API_URL", "https://partner.example/events#hunter2"),
        ("ENGAGEMENT_API_URL", "https://partner.example:hunter2/events"),
        ("ENGAGEMENT_API_URL", "https://[hunter2]/events"),
        ("ENGAGEMENT_API_URL", "partner.example/hunter2"),
        ("ENGAGEMENT_API_URL", "https://partner.example/hunter2\r\nX: y"),
        ("ENGAGEMENT_API_PROXY", "socks5://u:hunter2@proxy.example"),
        ("ENGAGEMENT_API_PROXY", "http://u:hunter2/@proxy.example"),
        ("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "u:hunter2@broker:9092"),
        ("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "broker:hunter2"),
        ("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "hunter2\udca1:9092"),
        ("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2"),
    ],
)
def test_a_malformed_address_is_refused_by_its_variable_only(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}: it must be .*(host|pairs)") as raised:
        load()
    assert CANARY not in _all_said(raised.value)
    assert "***" not in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (
            "ENGAGEMENT_SOURCE_DSN",
            "postgresql://u:p%40w:x#?y@[::1]:5432,other/media?sslmode=require&options=-c%20a%3Db",
        ),
        ("ENGAGEMENT_SOURCE_DSN", "postgres://%2Fvar%2Frun/media"),
        ("ENGAGEMENT_SOURCE_DSN", r"host = db user=x password='it\'s @ / : \\' dbname=media"),
        ("ENGAGEMENT_SOURCE_DSN", r"service=media password=a\ b@c/d'e"),
        ("ENGAGEMENT_PLATFORM_DSN", "postgresql:///platform?host=/var/run/postgresql"),
        ("ENGAGEMENT_REDIS_URL", "rediss://default:p@w:x%2F@cache.example:6380/2?ssl_cert_reqs=none"),
        ("ENGAGEMENT_REDIS_URL", "redis://cache"),
        ("ENGAGEMENT_REDIS_URL", "unix://user:pw@/run/redis.sock?db=1"),
        ("ENGAGEMENT_API_URL", "https://partner.example:8443/a/b%20c?source=media&x=@"),
        ("ENGAGEMENT_API_URL", "http://[::1]:8080/post"),
        ("ENGAGEMENT_API_URL", ""),
        ("ENGAGEMENT_API_PROXY", "http://u:p%40w@proxy.example:3128"),
        ("ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS", "kafka-0.example:9092,10.0.0.1:9093,[::1]:9092"),
    ],
)
def test_a_wellformed_address_is_taken_as_its_client_takes_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    taken = load()[variable.removeprefix("ENGAGEMENT_").lower()]
    assert value == (taken.get_secret_value() if isinstance(taken, SecretStr) else taken)
    if variable.endswith("_DSN"):
        assert conninfo_to_dict(value)
    if variable == "ENGAGEMENT_REDIS_URL":
        assert redis.Redis.from_url(value)


_ADDRESSES = {
    "ENGAGEMENT_SOURCE_DSN": ("postgresql://u:{}@h/media", "host=h password={} dbname=media", "host=h password={q}"),
    "ENGAGEMENT_PLATFORM_DSN": ("postgresql://u:{}@h/media", "postgresql:/u:{}@h", "postgresql://h/x?password={}"),
    "ENGAGEMENT_REDIS_URL": ("redis://:{}@h/0", "rediss://u:{}@h", "unix://:{}@/run/redis.sock"),
    "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS": ("u:{}@h:9092", "kafka://u:{}@h:9092"),
}


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the environment stays the same
@given(passwords(), st.sampled_from([(name, form) for name, forms in _ADDRESSES.items() for form in forms]))
def test_whatever_the_password_it_is_refused_or_its_client_understands_it(
    password: str, address: tuple[str, str]
) -> None:
    """What a client understands it does not name in its errors."""
    variable, form = address
    value = form.format(password, q=quoted(password))
    with mock.patch.dict(os.environ, {variable: value}):
        settings = _load()
    if isinstance(settings, SettingsError):
        assert CANARY not in _all_said(settings)
        return
    assert CANARY not in repr(settings)
    if variable.endswith("_DSN"):
        with suppress(psycopg.ProgrammingError):  # an unknown keyword; `adapters.bounded.connect` refuses it
            assert CANARY in str(conninfo_to_dict(value)["password"])
    if variable == "ENGAGEMENT_REDIS_URL":
        assert CANARY in redis.Redis.from_url(value).connection_pool.connection_kwargs["password"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LEASE_SECONDS", "soon", "it must be a number, and is 'soon'"),
        ("LEASE_SECONDS", "-1", "it must be 0.0 or more, and is '-1'"),
        ("API_IN_FLIGHT", "1.5", "it must be a whole number, and is '1.5'"),
        ("API_BATCH_SIZE", "100000", "it must be 10000 or less, and is '100000'"),
        ("STAGE_SECONDS", "0", "it must be more than 0.0, and is '0'"),
        ("START", "middle", "it must be 'latest' or 'earliest', and is 'middle'"),
        ("FIRST_DAY", "2024-13-01", "it must be a day such as 2024-01-01, and is '2024-13-01'"),
        ("LEASE_SECONDS", "inf", "it must be a finite number, and is 'inf'"),
        ("TOPIC", "my events", r"it must be a text of the form ^[a-zA-Z0-9._-]{1,249}$, and is 'my events'"),
        (
            "REPLAY_TOPIC",
            "engagement-events",
            "it must be another topic than ENGAGEMENT_TOPIC, and both are 'engagement-events'",
        ),
        ("REDIS_NAMESPACE", "a b", r"it must be a text of the form ^[^{}\s]+$, and is 'a b'"),
    ],
)
def test_a_setting_that_cannot_be_read_is_told_with_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"ENGAGEMENT_{variable}", value)
    with pytest.raises(SettingsError) as raised:
        load()
    assert f"ENGAGEMENT_{variable}: {said}." in str(raised.value)


def test_every_setting_says_what_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """None answers in a library's words, whatever it is set to."""
    for field in FIELDS:
        for value in ("?", "-1", "1e999", "nan"):
            with mock.patch.dict(os.environ, {f"ENGAGEMENT_{field.upper()}": value}):
                found = _load()
            assert not isinstance(found, SettingsError) or "another value" not in str(found), (field, value)
            assert "Input should" not in str(found)


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_STAGE_SECONDS", "")
    monkeypatch.setenv("ENGAGEMENT_KAFKA_SASL_MECHANISM", "")
    monkeypatch.setenv("ENGAGEMENT_FIRST_DAY", "")
    assert load().stage.seconds is None
    assert first_day() == load().history.first_day
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "")
    with pytest.raises(SettingsError, match="ENGAGEMENT_SOURCE_DSN: it is not set"):
        load()


def test_an_invalid_setting_is_not_repeated_by_the_model_either() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.of(redis_url=1, source_dsn=[CANARY], platform_dsn={CANARY: 1})
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_the_same_by_its_name_and_in_its_section(name: str) -> None:
    section, field = PATHS[name]
    before = load()
    holder = getattr(before, section) if section else before
    assert before[name] == getattr(holder, field)
    assert name in {field, f"{section}_{field}", type(holder).model_fields[field].alias}


def test_some_settings_are_replaced_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_API_BATCH_SIZE", "7")
    changed = load().replace(topic="other", lease_lead_seconds=None)
    assert (changed.topics.events, changed.api.batch_size) == ("other", 7)
    assert changed.given().keys() == {"source_dsn", "platform_dsn", "api_batch_size", "topic", "lease_lead_seconds"}
    assert changed.replace(topic="engagement-events") == load()


def test_what_is_no_setting_is_refused() -> None:
    with pytest.raises(KeyError, match="topc"):
        load().replace(topc="other")


def test_the_local_stacks_folder_is_the_state_folder() -> None:
    (option,) = (one for one in local_commands.up.params if one.name == "state_dir")
    assert option.default == FIELDS["state_dir"].default
    assert option.envvar == variable("state_dir")


NUMBERS = sorted(
    name for name in FIELDS.keys() - {"transaction_timeout_ms"} if FIELDS[name].annotation in {int, float, float | None}
)
VALUES = st.dictionaries(st.sampled_from(NUMBERS), st.integers(min_value=10, max_value=60).map(str))
"""Settings of any stream, in variables."""


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the environment stays the same
@given(
    common=VALUES,
    own=VALUES,
    others=VALUES,
)
def test_a_stream_has_what_it_sets_itself_and_else_what_all_have(
    common: dict[str, str], own: dict[str, str], others: dict[str, str]
) -> None:
    variables = {variable(name): value for name, value in common.items()}
    variables |= {variable(name, "orders"): value for name, value in own.items()}
    variables |= {variable(name, "orders_2"): value for name, value in others.items()}
    with mock.patch.dict(os.environ, variables):
        first, orders, second = load(), load("orders"), load("orders_2")
    for name in NUMBERS:
        default = default_of(name)
        for settings, values in ((first, common), (orders, common | own), (second, common | others)):
            assert settings[name] == (float(values[name]) if name in values else default)
        assert orders.variable_of(name) == (variable(name, "orders") if name in own else variable(name))
        assert first.variable_of(name) == variable(name)


@given(st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True).filter(lambda name: name != STREAM))
def test_every_name_of_a_stream_makes_variables_that_are_found_again(name: str) -> None:
    environment = _COMMON | {variable("lease_seconds", name): "7", variable("topc", name): "x"}
    with mock.patch.dict(os.environ, environment, clear=True):
        assert streams_with_settings().keys() == {name}
        with pytest.raises(SettingsError, match=f"{variable('topc', name)}: there is no such setting; "):
            load(name)
        assert load().lease.seconds == default_of("lease_seconds")
        del os.environ[variable("topc", name)]
        assert load(name).lease.seconds == 7


def test_the_address_of_a_warehouse_is_not_taken_over_by_a_stream_with_another_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGAGEMENT_WAREHOUSE", "bigquery")
    monkeypatch.setenv("ENGAGEMENT_WAREHOUSE_URI", "project.dataset")
    assert load("orders").effective_warehouse_uri == "project.dataset"
    monkeypatch.setenv("ENGAGEMENT_ORDERS__WAREHOUSE", "bigquery")
    assert load("orders").effective_warehouse_uri == "project.dataset"
    monkeypatch.setenv("ENGAGEMENT_ORDERS__WAREHOUSE", "delta")
    with about("orders"):
        assert str(SettingsError("ENGAGEMENT_WAREHOUSE_URI")) == "ENGAGEMENT_ORDERS__WAREHOUSE_URI"
    assert load("orders").effective_warehouse_uri.endswith("/warehouse")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__WAREHOUSE_URI", "/elsewhere")
    assert load("orders").effective_warehouse_uri == "/elsewhere"


def test_a_first_day_at_fault_is_named_by_the_variable_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_FIRST_DAY", "soon")
    with pytest.raises(SettingsError, match="ENGAGEMENT_FIRST_DAY is not a date"):
        first_day("orders")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__FIRST_DAY", "later")
    with pytest.raises(SettingsError, match="ENGAGEMENT_ORDERS__FIRST_DAY is not a date"):
        first_day("orders")


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_stands_for_one_stream_is_never_taken_over(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    value = "https://partner.example/events" if name == "api_url" else "something"
    monkeypatch.setenv(variable(name), value)
    assert _plain(load()[name]) == value
    assert _plain(load("orders")[name]) != value
    assert load("orders").variable_of(name) == variable(name, "orders")
    monkeypatch.setenv(variable(name, "orders"), value)
    assert _plain(load("orders")[name]) == value


def test_names_that_stand_for_one_stream_are_made_of_its_name() -> None:
    names = ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic", "redis_namespace", "forward_group")
    ours, others = load(), load("orders")
    assert [ours[name] for name in names] == [
        "engagement-events",
        "engagement-relay-checkpoint",
        "engagement-dead-letters",
        "engagement-events-replay",
        "engagement",
        "engagement-forward",
    ]
    assert [others[name] for name in names] == [ours[name].replace("engagement", "orders") for name in names]


@pytest.mark.parametrize("name", sorted(SHARED))
def test_what_is_the_same_for_all_streams_is_set_for_all(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(variable(name, "orders"), "postgresql://127.0.0.1/other")
    load()
    with pytest.raises(SettingsError, match=f"{variable(name, 'orders')}: it is the same .*: {variable(name)}[.]"):
        load("orders")


def test_a_mistyped_setting_of_a_stream_is_named_with_the_one_that_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_ORDERS__TOPC", "x")
    said = "ENGAGEMENT_ORDERS__TOPC: there is no such setting; ENGAGEMENT_ORDERS__TOPIC is one"
    with pytest.raises(SettingsError, match=said):
        load("orders")
    load()
    load("visits")


def test_the_settings_of_the_packaged_stream_are_the_common_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_ENGAGEMENT__TOPIC", "x")
    with pytest.raises(SettingsError, match=r"ENGAGEMENT_ENGAGEMENT__TOPIC: .*: ENGAGEMENT_TOPIC\."):
        load()


@pytest.mark.parametrize("own", [True, False])
def test_a_wrong_value_is_named_by_the_variable_that_it_comes_from(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    name = variable("lease_seconds", "orders" if own else STREAM)
    monkeypatch.setenv(name, "soon")
    with pytest.raises(SettingsError, match=f"{name}: it must be a number, and is 'soon'"):
        load("orders")


def test_settings_of_a_stream_keep_it_when_some_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_ORDERS__REDIS_URL", "redis://other")
    changed = load("orders").replace(lease_seconds=1)
    assert (changed.stream, changed.topics.events) == ("orders", "orders-events")
    assert changed.redis.variable("url") == "ENGAGEMENT_ORDERS__REDIS_URL"
    assert changed.kafka.variable("bootstrap_servers") == "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS"
    assert changed.api.variable("token") == "ENGAGEMENT_ORDERS__API_TOKEN"


def test_a_remedy_names_the_variables_that_the_stream_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_ORDERS__SOURCE_DSN", "postgresql://127.0.0.1/shop")
    todo = "See to ENGAGEMENT_SOURCE_DSN, ENGAGEMENT_REDIS_URL and ENGAGEMENT_API_TOKEN or ENGAGEMENT_API_TOKEN_FILE."
    with about("orders"):
        told = SettingsError("It failed.", todo).todo
        again = SettingsError("It failed.", told).todo
    assert (
        told
        == again
        == (
            "See to ENGAGEMENT_ORDERS__SOURCE_DSN, ENGAGEMENT_REDIS_URL and ENGAGEMENT_ORDERS__API_TOKEN or"
            " ENGAGEMENT_ORDERS__API_TOKEN_FILE."
        )
    )
    with about(STREAM):
        assert SettingsError("It failed.", todo).todo == todo
    assert SettingsError("It failed.", todo).todo == todo


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_variable_of_a_stream_is_named_as_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for present in (False, True):
        if present and name not in SHARED:
            monkeypatch.setenv(variable(name, "orders_2"), str(default_of(name) or "postgresql://127.0.0.1/media"))
        settings = _load("orders_2")
        with about("orders_2"):
            said = SettingsError(f"{variable(name)}: it is wrong.").what
        assert isinstance(settings, SettingsError) or said == f"{settings.variable_of(name)}: it is wrong."


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _load(stream: str = STREAM) -> Settings | SettingsError:
    try:
        return load(stream)
    except SettingsError as error:
        return error


def _all_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
