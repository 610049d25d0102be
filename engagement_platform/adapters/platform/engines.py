"""How Dagster's own storage connects to the platform database: always by the address that its file holds now."""

from functools import cache
from typing import Any

from sqlalchemy import Engine, event, make_url

from engagement_platform.settings import SecretFile


@cache
def follow(dsn: SecretFile) -> None:
    """Let each engine of this process that was made for the file's present address connect to what the file holds then.

    Dagster makes its engines itself, and keeps them. User and password may be others each time, as where two roles
    take turns.
    """
    first = _parameters(dsn.get_secret_value())

    @event.listens_for(Engine, "do_connect")
    def connect_to_present(_dialect: Any, _record: Any, _arguments: list[Any], parameters: dict[str, Any]) -> None:
        if parameters.items() >= first.items():
            for name in first:
                del parameters[name]
            parameters |= _parameters(dsn.get_secret_value())


def _parameters(url: str) -> dict[str, Any]:
    """Return what an engine of this address hands to PostgreSQL's client."""
    made = make_url(url)
    return dict(made.get_dialect()().create_connect_args(made)[1])
