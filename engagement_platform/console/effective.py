"""The settings that are in force, as they may be seen."""

from dataclasses import dataclass

from pydantic import SecretStr

from engagement_platform.domain.addresses import origin
from engagement_platform.domain.errors import redact
from engagement_platform.settings import ADDRESSES, FIELDS, Settings


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force."""

    variable: str
    value: str
    is_default: bool
    meaning: str


def effective(settings: Settings) -> list[Effective]:
    """Return every setting without secrets."""
    given = settings.given()
    return [
        Effective(
            settings.variable_of(name),
            _shown(name, settings[name]),
            name not in given,
            field.description or "",
        )
        for name, field in FIELDS.items()
    ]


def _shown(name: str, value: object) -> str:
    """Return a value as it may be seen: of what is secret only a well-formed address, without its password."""
    if not isinstance(value, SecretStr):
        return "" if value is None else redact(str(value))
    text = value.get_secret_value()
    if not text:
        return ""
    is_address = name in ADDRESSES and ADDRESSES[name](text) is None
    if is_address and name == "api_url":
        return origin(text)  # the path of such an address is often a secret
    return redact(text) if is_address else "***"
