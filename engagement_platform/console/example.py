"""Writes `.env.example`: every setting with its meaning and default, for people and for Docker.

python -m engagement_platform.console.example > .env.example
"""

import sys
import textwrap
from collections.abc import Container, Iterator

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from engagement_platform.settings import FIELDS, SECRET, default_of, variable

_HEAD = """\
# Every setting, with its default behind the #. Copy what you change into a file .env beside the README. docker compose
# reads it, and has the addresses of its own servers as defaults; a shell reads it by: set -a; . ./.env; set +a
# Put a value with blanks, $ or # into single quotes.
# A secret may be in a file, which …_FILE behind its name names and which is read again when it changes: docs/tls.md.
# For a stream of your own, such as orders, ENGAGEMENT_ORDERS__LEASE_SECONDS comes before ENGAGEMENT_LEASE_SECONDS.
# Made by: python -m engagement_platform.console.example > .env.example
"""
_WIDTH = 118


def text() -> str:
    """Return the content of the file."""
    return f"{_HEAD}\n{settings()}"


def settings(without: Container[str] = ()) -> str:
    """Return every setting but those named, each with its meaning and its default behind a #."""
    return "\n".join(_settings(without))


def from_file() -> list[str]:
    """Return the variables that are also taken as a file named by NAME_FILE: those of secret settings."""
    return [variable(name) for name in SECRET]


def _settings(without: Container[str]) -> Iterator[str]:
    for name, field in FIELDS.items():
        if name in without:
            continue
        meaning = field.description or ""
        if field.is_required():
            meaning += " Must be set."
        if name in SECRET:
            meaning += f" Or as a file: {variable(name)}_FILE."
        yield f"{textwrap.fill(meaning, _WIDTH, initial_indent='# ', subsequent_indent='# ')}\n{_line(name)}\n"


def _line(name: str) -> str:
    default = default_of(name)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    shown = "" if default is None or default is PydanticUndefined else str(default)
    return f"#{variable(name)}={shown}"


if __name__ == "__main__":
    sys.stdout.write(text())
