"""Reads the settings from the environment, and says in words what is wrong with them."""

import os
from collections.abc import Iterator
from datetime import date

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from engagement_platform.domain import addresses
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings.sections import FIELDS, History, Settings

PREFIX = "ENGAGEMENT_"

ADDRESSES = {
    "source_dsn": addresses.postgres_fault,
    "platform_dsn": addresses.postgres_url_fault,
    "kafka_bootstrap_servers": addresses.brokers_fault,
    "redis_url": addresses.redis_fault,
    "api_url": addresses.http_fault,
    "api_proxy": addresses.proxy_fault,
}
"""How the form of each address is checked."""


def load() -> Settings:
    """Read the settings from the environment, an empty one as one that is not set.

    Raises SettingsError naming each variable at fault, with its value where that cannot be secret.
    """
    try:
        settings = Settings.of(**_environment())
    except ValidationError as error:
        faults = [(str(fault["loc"][-1]), _in_words(str(fault["loc"][-1]), fault)) for fault in error.errors()]
    else:
        faults = [(name, fault) for name, check in ADDRESSES.items() if (fault := check(_text(settings[name])))]
        faults += _shared_topics(settings)
        if not faults:
            return settings
    raise SettingsError(
        f"The configuration cannot be used. {'; '.join(f'{variable(name)}: {fault}' for name, fault in faults)}.",
        "Set the variables, or load those of the local stack: set -a; . .engagement/local.env; set +a",
    )


def first_day() -> date:
    """Return ENGAGEMENT_FIRST_DAY, whether or not the other settings are there. Raises SettingsError."""
    try:
        return History.model_validate(_environment()).first_day
    except ValidationError:
        raise SettingsError(
            f"{variable('first_day')} is not a date.", "Set it to a day such as 2024-01-01, or leave it out."
        ) from None


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def _environment() -> dict[str, str]:
    """Return name -> value of the settings that the environment has."""
    variables = {variable.upper(): value for variable, value in os.environ.items()}
    return {name: value for name in FIELDS if (value := variables.get(variable(name)))}


def _shared_topics(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that names a topic which another one names, too."""
    first: dict[str, str] = {}
    for name in ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic"):
        owner = first.setdefault(settings[name], name)
        if owner != name:
            yield name, f"it must be another topic than {variable(owner)}, and both are {settings[name]!r}"


def _in_words(name: str, fault: ErrorDetails) -> str:
    """Say what a setting must be, and what it is."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "it is not set"
    must = next(
        (words.format(**context) for begin, words in _MUST_BE.items() if kind.startswith(begin)), "another value"
    )
    value = _environment().get(name)
    is_secret = name in ADDRESSES or "Secret" in str(FIELDS[name].annotation)
    return f"it must be {must}" + ("" if is_secret or not value else f", and is {value!r}")


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
    "finite_number": "a finite number",
}
"""Kind of a fault as pydantic names it, by its beginning -> what the setting must be."""


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
