"""Reads the settings of a stream from the environment, and says in words what is wrong with them."""

import difflib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from engagement_platform.domain import addresses, owners, stream_names
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings.secret_file import SecretFile
from engagement_platform.settings.section import PREFIX, STREAM, variable
from engagement_platform.settings.sections import Alerting, Catalog, History, Logs, Page
from engagement_platform.settings.settings import FIELDS, OWN, SECRET, SHARED, Settings, default_of

ADDRESSES = {
    "source_dsn": addresses.postgres_fault,
    "platform_dsn": addresses.postgres_url_fault,
    "kafka_bootstrap_servers": addresses.brokers_fault,
    "redis_url": addresses.redis_fault,
    "api_url": addresses.http_fault,
    "api_proxy": addresses.proxy_fault,
    "alert_url": addresses.http_fault,
    "alert_proxy": addresses.proxy_fault,
    "alert_link": addresses.http_fault,
    "alert_dagster_link": addresses.http_fault,
}
"""How the form of each address is checked."""

FORMS = {"owners": owners.fault, "source_owners": owners.fault, "docs_url": addresses.http_fault}
"""How the form of other texts is checked; they are no secrets."""

Fault = tuple[str, str]
"""A variable, and what is wrong with it."""


def load(stream: str = STREAM) -> Settings:
    """Read the settings of a stream from the environment, an empty one as one that is not set.

    ENGAGEMENT_ORDERS__LEASE_SECONDS is for the stream `orders` alone. Where that is not set, ENGAGEMENT_LEASE_SECONDS
    is for it, too, unless the setting stands for one stream. Whether there is such a stream is not looked at.
    Raises SettingsError naming each variable at fault, with its value where that cannot be secret.
    """
    by_name = _by_name(stream)
    faults = list(_misnamed(stream))
    try:
        settings = Settings.of(**by_name)
    except ValidationError as error:
        faults += [_in_words(fault, by_name) for fault in error.errors() if fault["type"] not in _FOLLOWING]
    else:
        faults += _unreadable(settings) or _malformed(settings)
        faults += _shared_topics(settings)
        if not faults:
            return settings
    raise SettingsError(
        f"The configuration cannot be used. {'; '.join(f'{variable}: {fault}' for variable, fault in faults)}.",
        _how_to_set(Path()),
    )


def _how_to_set(folder: Path) -> str:
    """Say where variables are set: a local stack's are where it was started, and in no container."""
    local = Path(".engagement/local.env")
    if (folder / local).exists():
        return f"Set the variables, or load those of the local stack: set -a; . {local}; set +a"
    return "Set the variables and start again; with compose they belong in the file .env beside the README."


@contextmanager
def about(stream: str) -> Iterator[None]:
    """Let texts that are made in the block, in this thread, name commands and variables as they are for a stream."""
    present = {} if stream == STREAM else _variables()
    own = [name for name in FIELDS if name in OWN or _making_own(name, stream) & present.keys()]
    names = [*own, *(f"{name}_file" for name in own if name in SECRET)]
    with stream_names.about(stream, {variable(name): variable(name, stream) for name in names}):
        yield


def _making_own(name: str, stream: str) -> set[str]:
    """Return the variables of which any makes a setting the stream's own."""
    names = {name, "warehouse"} if name == "warehouse_uri" else {name, f"{name}_file"} if name in SECRET else {name}
    return {variable(one, stream) for one in names}


def first_day(stream: str = STREAM) -> date:
    """Return ENGAGEMENT_FIRST_DAY, whether or not the other settings are there. Raises SettingsError."""
    by_name = _by_name(stream)
    try:
        return History.model_validate(by_name).first_day
    except ValidationError:
        of = variable("first_day", stream if "first_day" in by_name.get("overrides", ()) else STREAM)
        raise SettingsError(f"{of} is not a date.", "Set it to a day such as 2024-01-01, or leave it out.") from None


def page() -> Page:
    """Return the settings of the page, whether or not the other settings are there. Raises SettingsError."""
    by_name = _by_name(STREAM)
    try:
        return Page.model_validate(by_name)
    except ValidationError as error:
        faults = [_in_words(fault, by_name) for fault in error.errors()]
        raise SettingsError(
            f"The page cannot be served. {'; '.join(f'{variable}: {fault}' for variable, fault in faults)}.",
            "Set the variable otherwise, or leave it out: then nothing can be changed through the page.",
        ) from None


def catalog_of(stream: str = STREAM) -> Catalog:
    """Return what the catalog says of a stream, whether or not the other settings are there. Raises SettingsError."""
    by_name = _by_name(stream)
    catalog = Catalog.model_validate(by_name)
    for field in Catalog.model_fields.keys() & FORMS.keys():
        value = getattr(catalog, field)
        if fault := FORMS[field](value):
            raise SettingsError(f"{catalog.variable(field)}: {fault}, and is {value!r}.", "Mend it, or leave it out.")
    return catalog


def logs() -> Logs:
    """Return how lines are logged, whether or not the other settings are there; by default where they are at fault."""
    try:
        return Logs.model_validate(_by_name(STREAM))
    except ValidationError:  # whoever loads all settings says so
        return Logs()


def source_dsn_of(stream: str = STREAM) -> str:
    """Return the DSN of a stream's source, whether or not the other settings are there. Raises SettingsError."""
    by_name = _by_name(stream)
    of = variable("source_dsn", stream) if "source_dsn" in by_name.get("overrides", ()) else variable("source_dsn")
    dsn = _text(by_name.get("source_dsn", ""))
    fault = addresses.postgres_fault(dsn) if dsn else "it is not set"
    if fault:
        raise SettingsError(f"{of}: {fault}.", "Let it name the database that has the stream's table.")
    return dsn


def stream_folders() -> tuple[Path, ...]:
    """Return the folders of ENGAGEMENT_STREAMS, whether or not the other settings are there."""
    listed = _variables().get(variable("streams"), "")
    return tuple(Path(folder) for folder in listed.split(os.pathsep) if folder)


def has_packaged_stream() -> bool:
    """Return ENGAGEMENT_PACKAGED_STREAM, whether or not the other settings are there. Raises SettingsError."""
    of = variable("packaged_stream")
    value = _variables().get(of, default_of("packaged_stream"))
    if value not in ("on", "off"):
        raise SettingsError(f"{of} must be on or off, and is {value!r}.", "Set it to one of them, or leave it out.")
    return bool(value == "on")


def kafka_client() -> str:
    """Return ENGAGEMENT_KAFKA_CLIENT, whether or not the other settings are there."""
    return _variables().get(variable("kafka_client"), str(default_of("kafka_client")))


def stream_executor() -> str:
    """Return ENGAGEMENT_STREAM_EXECUTOR, whether or not the other settings are there. Raises SettingsError."""
    of = variable("stream_executor")
    value = _variables().get(of, str(default_of("stream_executor")))
    if value not in ("processes", "pods"):
        raise SettingsError(f"{of} must be processes or pods, and is {value!r}.", "Set it to one, or leave it out.")
    return value


def platform_dsn() -> SecretStr:
    """Return the DSN of the platform database, whether or not the other settings are there. Raises SettingsError."""
    dsn = _by_name(STREAM).get("platform_dsn", "")
    fault = addresses.postgres_url_fault(_text(dsn)) if dsn else "it is not set"
    if fault:
        raise SettingsError(f"{variable('platform_dsn')}: {fault}.", "Let it name the platform's own database.")
    return dsn if isinstance(dsn, SecretStr) else SecretStr(dsn)


def is_anybody_told() -> bool:
    """Say whether ENGAGEMENT_ALERT_URL is set, or its file, whether or not the other settings are there."""
    name = variable("alert_url")
    return not {name, f"{name}_FILE"}.isdisjoint(_variables())


def alerting() -> Alerting:
    """Return the settings of alerts, whether or not the others are there. Raises SettingsError."""
    by_name = _by_name(STREAM)
    try:
        return Alerting.model_validate(by_name)
    except ValidationError as error:
        faults = [_in_words(fault, by_name) for fault in error.errors()]
        raise SettingsError(
            f"Nobody can be told. {'; '.join(f'{variable}: {fault}' for variable, fault in faults)}.",
            "Set the variable otherwise; docs/alerts.md has all of them.",
        ) from None


def streams_with_settings() -> Mapping[str, str]:
    """Return stream -> a variable that is for it alone, for every stream that the environment names."""
    return {stream: name for name in _variables() if (stream := _stream_in(name)) is not None}


def _variables() -> dict[str, str]:
    """Return the platform's variables that are not empty, in capitals."""
    return {name.upper(): value for name, value in os.environ.items() if value and name.upper().startswith(PREFIX)}


def _stream_in(name: str) -> str | None:
    """Return the stream whose own variable this is; None for a common one."""
    stream, mark, _ = name.removeprefix(PREFIX).rpartition("__")
    return stream.lower() if mark and stream else None


def _by_name(stream: str) -> dict[str, Any]:
    """Return name -> value of the settings that the environment has for a stream, and what says whose they are."""
    variables = _variables()
    common = {name: value for name in FIELDS if (value := _given(variables, name, variable(name)))}
    if stream == STREAM:
        return common
    own = {n: value for n in FIELDS.keys() - SHARED if (value := _given(variables, n, variable(n, stream)))}
    inherited = {name: value for name, value in common.items() if name not in OWN}
    usual = common.get("warehouse", default_of("warehouse"))
    if own.get("warehouse", usual) != usual:
        inherited.pop("warehouse_uri", None)  # a folder is no dataset of BigQuery, nor the other way round
    return inherited | own | {"stream": stream, "overrides": frozenset(own)}


def _given(variables: Mapping[str, str], name: str, of: str) -> str | SecretFile | None:
    """Return what a variable is set to; of a secret, where its file is named, what is in that. Raises SettingsError."""
    value, file = variables.get(of), variables.get(f"{of}_FILE") if name in SECRET else None
    if value and file:
        raise SettingsError(f"Both {of} and {of}_FILE are set.", "Set one of them.")
    return SecretFile(of, Path(file)) if file else value


def _misnamed(stream: str) -> Iterator[Fault]:
    """Yield the variables of a stream that no setting has."""
    for name in (name for name in _variables() if _stream_in(name) == stream):
        setting = name.rpartition("__")[2].lower()
        if setting.removesuffix("_file") in SECRET:
            setting = setting.removesuffix("_file")
        if stream == STREAM:
            yield name, f"the settings of {STREAM} are the common ones: {variable(setting)}"
        elif setting in SHARED:
            yield name, f"it is the same for all streams: {variable(setting)}"
        elif setting not in FIELDS:
            close = difflib.get_close_matches(setting, FIELDS.keys() - SHARED, n=1)
            yield name, "there is no such setting" + "".join(f"; {variable(one, stream)} is one" for one in close)


def _malformed(settings: Settings) -> Iterator[Fault]:
    """Yield each address that cannot be one."""
    for name, check in {**ADDRESSES, **FORMS}.items():
        if fault := check(_text(settings[name])):
            yield settings.variable_of(name), fault


def _unreadable(settings: Settings) -> list[Fault]:
    """Return each file of a secret that cannot be read."""
    faults = []
    for name in SECRET:
        if isinstance(secret := settings[name], SecretFile):
            try:
                secret.read()
            except SettingsError as error:
                of = f"{secret.variable}_FILE"
                faults.append((of, f"{secret.file} {error.what.removeprefix(f'The file of {of} ').rstrip('.')}"))
    return faults


def _shared_topics(settings: Settings) -> Iterator[Fault]:
    """Yield each setting that names a topic which another one names, too."""
    first: dict[str, str] = {}
    for name in ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic"):
        owner = first.setdefault(settings[name], name)
        if owner != name:
            other = settings.variable_of(owner)
            yield settings.variable_of(name), f"it must be another topic than {other}, and both are {settings[name]!r}"


def _in_words(fault: ErrorDetails, by_name: Mapping[str, Any]) -> Fault:
    """Say what a setting must be, and what it is."""
    name, kind, context = str(fault["loc"][-1]), fault["type"], fault.get("ctx", {})
    of = variable(name, by_name["stream"]) if name in by_name.get("overrides", ()) else variable(name)
    if kind == "missing":
        return of, "it is not set"
    must = next(
        (words.format(**context) for begin, words in _MUST_BE.items() if kind.startswith(begin)), "another value"
    )
    is_secret = name in ADDRESSES or name in SECRET
    return of, f"it must be {must}" + ("" if is_secret else f", and is {by_name[name]!r}")


_FOLLOWING = {"default_factory_not_called"}
"""Kinds of faults that another fault of the same section brings about."""

_MUST_BE = {
    "int_": "a whole number",
    "float_": "a number",
    "date_": "a day such as 2024-01-01",
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "string_too_short": "a text of at least {min_length} characters",
    "too_short": "a text of at least {min_length} characters",
    "finite_number": "a finite number",
}
"""Kind of a fault as pydantic names it, by its beginning -> what the setting must be."""


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
