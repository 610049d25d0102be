"""How a person names a time in an option; without a zone it is in UTC."""

from datetime import UTC, datetime

import click


def utc(text: str) -> datetime:
    """Return the time. Raises ValueError for what is none, or lies beyond the years 1 to 9999 in UTC."""
    given = datetime.fromisoformat(text)
    try:
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def span(since: str, until: str | None) -> tuple[datetime, datetime]:
    """Return the time from --since to --until, or to now. Raises click.UsageError, which names the option at fault."""
    now = datetime.now(UTC)
    begin, end = _of_option("--since", since), now if until is None else _of_option("--until", until)
    if begin > now:
        raise click.UsageError(f"--since {since!r} lies in the future: it is {now:%Y-%m-%d %H:%M:%S} UTC now.")
    if end <= begin:
        raise click.UsageError("--until has to be after --since.")
    return begin, end


def _of_option(option: str, text: str) -> datetime:
    try:
        return utc(text)
    except ValueError:
        raise click.UsageError(f"{option} {text!r} is not a time such as 2024-08-01 or 2024-08-01T00:00:00.") from None
