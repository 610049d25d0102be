"""engagement-platform erase-user and erasures: a user who was deleted, at every sink, and the record of it."""

import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from engagement_platform.console.streams import of_stream, settings_of
from engagement_platform.domain.errors import EngagementError

if TYPE_CHECKING:
    from engagement_platform.domain.erasures import Erasure
    from engagement_platform.settings import Settings

_SHOWN = 20


@click.command("erase-user")
@click.argument("user_id")
@click.option("--dry-run", is_flag=True, help="Only say which days hold the user.")
@of_stream
def erase_user(user_id: str, *, dry_run: bool, stream: str | None) -> None:
    """Erase the copies of a user at every sink, after the owner has deleted the rows in the source.

    Who did it, and what came of it at each sink, is recorded; the partner is told. It may be run again at any time: one
    that was interrupted goes on.
    """
    from engagement_platform.adapters.platform.migrate import ensure_schema
    from engagement_platform.console.people import who
    from engagement_platform.history.erase import days_of_user
    from engagement_platform.history.erasure import erase_everywhere, user_of

    settings = settings_of(stream)
    ensure_schema(settings)
    days = days_of_user(settings, user_id)
    click.echo(f"{len(days)} days of the warehouse hold events of {user_id}.")
    if dry_run:
        _tell_remains(settings)
        return
    user = user_of(settings, user_id)
    erasure = erase_everywhere(settings, user, days, who(), lambda: _rebuild(settings, user_id, days, user.mark))
    _show(erasure)
    click.echo("Nothing of Kafka can be taken out before its time; what is kept is listed with its end.")


@click.command()
@click.option("--user", "user_id", metavar="ID", help="Only the erasures of this user.")
@of_stream
def erasures(user_id: str | None, *, stream: str | None) -> None:
    """Show which erasures there were: by whom, when, and what came of each at every sink. Users are not named.

    What the partner has not taken yet is tried again each hour.
    """
    from engagement_platform.history.erasure import recorded, user_of

    settings = settings_of(stream)
    found = recorded(settings, _SHOWN, None if user_id is None else user_of(settings, user_id))
    if not found:
        click.echo("There were none.")
    for erasure in found:
        _show(erasure)


def _show(erasure: "Erasure") -> None:
    from engagement_platform.history.erasure import in_words

    ended = "not at its end: run erase-user again" if erasure.ended_at is None else f"ended {erasure.ended_at:%H:%M:%S}"
    click.echo(f"Erasure {erasure.number} by {erasure.who}, {erasure.begun_at:%Y-%m-%d %H:%M:%S} UTC, {ended}:")
    for sink, outcome in erasure.outcomes.items():
        click.echo(f"  {sink}: {in_words(outcome)}")


def _rebuild(settings: "Settings", user_id: str, days: list[date], mark: str) -> None:
    """Make the days anew that hold the user. Raises EngagementError where days still do."""
    if not days:
        return
    from engagement_platform.console.backfills import launch, watch
    from engagement_platform.console.stale import instance, tables_of
    from engagement_platform.definitions import definitions
    from engagement_platform.history.erase import days_of_user
    from engagement_platform.history.rebuild import rebuild_days
    from engagement_platform.orchestration.private import asset_graph
    from engagement_platform.orchestration.warehouse.days import is_known

    partitions = [day for day in days if is_known(settings.stream, day, datetime.now(UTC).date())]
    # The reason stays in Dagster's tags: it names the record, and not the user.
    others, why = [day for day in days if day not in partitions], f"erasure {mark[:12]}"
    for rebuilt in rebuild_days(settings, others, why, allow_removal=True):
        click.echo(f"{rebuilt.day} done: a day that Dagster does not know.")
    if partitions:
        with instance() as dagster:
            backfill_id = launch(dagster, tables_of(settings), partitions, why, allow_removal=True)
            if not watch(settings, dagster, asset_graph(definitions), backfill_id):
                sys.exit(1)
    left = days_of_user(settings, user_id)
    if left:
        raise EngagementError(
            f"Days still hold the user: {', '.join(map(str, left))}.",
            "Events that were on their way were loaded meanwhile: run the command again.",
        )


def _tell_remains(settings: "Settings") -> None:
    from engagement_platform.history.erase import remains

    click.echo("Copies of events that were published or loaded earlier remain in:")
    copies = remains(settings, datetime.now(UTC))
    for copy, until in copies.items():
        end = "somebody removes them" if until is None else f"{until:%Y-%m-%d %H:%M} UTC"
        click.echo(f"  {copy}, until {end}")
    if not any("Redis" in copy for copy in copies):
        click.echo("Redis holds no user ids.")
