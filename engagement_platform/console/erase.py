"""engagement-platform erase-user: rebuild the days that held a user whom the owner has deleted."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from engagement_platform.console.streams import of_stream, settings_of
from engagement_platform.domain.errors import EngagementError

if TYPE_CHECKING:
    from engagement_platform.settings import Settings


@click.command("erase-user")
@click.argument("user_id")
@click.option("--dry-run", is_flag=True, help="Only say which days hold the user.")
@of_stream
def erase_user(user_id: str, *, dry_run: bool, stream: str | None) -> None:
    """Rebuild the days that hold events of a user, after the owner has deleted them in the source."""
    from engagement_platform.console.backfills import launch, watch
    from engagement_platform.console.stale import instance, tables_of
    from engagement_platform.definitions import definitions
    from engagement_platform.history.erase import days_of_user
    from engagement_platform.history.rebuild import rebuild_days
    from engagement_platform.orchestration.private import asset_graph
    from engagement_platform.orchestration.warehouse.days import is_known

    settings = settings_of(stream)
    days = days_of_user(settings, user_id)
    click.echo(f"{len(days)} days of the warehouse hold events of {user_id}.")
    if dry_run or not days:
        _tell_remains(settings)
        return
    partitions = [day for day in days if is_known(settings.stream, day, datetime.now(UTC).date())]
    others, why = [day for day in days if day not in partitions], f"erase user {user_id}"
    for rebuilt in rebuild_days(settings, others, why, allow_removal=True):
        click.echo(f"{rebuilt.day} done: a day that Dagster does not know.")
    done = True
    if partitions:
        with instance() as dagster:
            backfill_id = launch(dagster, tables_of(settings), partitions, why, allow_removal=True)
            done = watch(settings, dagster, asset_graph(definitions), backfill_id)
    left = days_of_user(settings, user_id)
    if left:
        raise EngagementError(
            f"Days still hold the user: {', '.join(map(str, left))}.",
            "Events that were on their way were loaded meanwhile: run the command again.",
        )
    _tell_remains(settings)
    sys.exit(0 if done else 1)


def _tell_remains(settings: "Settings") -> None:
    from engagement_platform.history.erase import remains

    click.echo("Copies of events that were published or loaded earlier remain in:")
    copies = remains(settings, datetime.now(UTC))
    for copy, until in copies.items():
        end = "somebody removes them" if until is None else f"{until:%Y-%m-%d %H:%M} UTC"
        click.echo(f"  {copy}, until {end}")
    if not any("Redis" in copy for copy in copies):
        click.echo("Redis holds no user ids.")
