"""The operator's commands for the warehouse: how it stands, and what to do when the stage stands still."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from engagement_platform.console.streams import of_stream, settings_of

if TYPE_CHECKING:
    from engagement_platform.adapters.platform.loads import LoadRow
    from engagement_platform.settings import Settings


@click.group()
def warehouse() -> None:
    """Show or mend what is loaded into the warehouse."""


@warehouse.command()
@of_stream
def status(*, stream: str | None) -> None:
    """Show the last load, what is open, and which days wait for a rebuild."""
    from engagement_platform.adapters.platform.loads import Loads
    from engagement_platform.adapters.platform.migrate import ensure_schema
    from engagement_platform.adapters.platform.rebuilds import DueDays, Rebuilds
    from engagement_platform.adapters.stream_table import table_now
    from engagement_platform.adapters.warehouse.connect import open_warehouse

    settings = settings_of(stream)
    ensure_schema(settings)
    table_id = open_warehouse(settings).ensure(table_now(settings))
    with Loads.opened(settings, "status") as loads:
        click.echo(f"table: {table_id}")
        click.echo(f"last load: {_described(loads.last_load(table_id))}")
        for open_load in loads.open_loads(table_id):
            click.echo(f"open load: {_described(open_load)}")
        for rebuild in Rebuilds(loads.session).all_open(table_id):
            click.echo(f"open rebuild: {rebuild.day}, run {rebuild.run_id}, silent for {rebuild.silent_seconds:.0f} s")
        for due in DueDays(loads.session).all():
            click.echo(f"due: {due.day}, {due.reason}")
    _tell_stale(settings)


def _tell_stale(settings: "Settings") -> None:
    """Say how many days another formula has made; Dagster's instance knows."""
    from engagement_platform.console.stale import stale_tables_of
    from engagement_platform.domain.errors import SettingsError
    from engagement_platform.domain.stream_names import aimed

    try:
        stale = stale_tables_of(settings)
    except SettingsError as error:
        click.echo(f"stale by formula: not known. {error}")
        return
    for table, days in stale.items():
        click.echo(f"stale by formula: {len(days)} days of {table}, {days[0]} to {days[-1]}")
    click.echo(
        f"To rebuild them: {aimed('engagement-platform backfill --stale')}" if stale else "stale by formula: none"
    )


def _described(load: "LoadRow | None") -> str:
    if load is None:
        return "none"
    left_out = f", {load.covered} left out, {load.rejected} rejected" if load.covered or load.rejected else ""
    ids = f", ids {load.lowest_id} to {load.highest_id}" if load.rows else ""
    return f"number {load.version}, {load.rows} rows{ids}{left_out}, {load.load_id}, opened {load.opened_at}"


@warehouse.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def restart(*, yes: bool, stream: str | None) -> None:
    """Go on with a topic that was created anew, from its beginning."""
    settings = settings_of(stream)
    if not yes:
        click.confirm("Events that the old topic had and the new one has too are loaded twice. Go on?", abort=True)
    from engagement_platform.recovery import stage

    _tell(stage.restart(settings), "The stage goes on with the topic that is there now.")


@warehouse.command("give-up")
@click.argument("load_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def give_up(load_id: str, *, yes: bool, stream: str | None) -> None:
    """Close an open load that cannot be made again."""
    settings = settings_of(stream)
    if not yes:
        click.confirm(f"The rows of {load_id} are missing until its days are rebuilt. Go on?", abort=True)
    from engagement_platform.recovery import stage

    _tell(stage.give_up(settings, load_id), f"Load {load_id} is closed.")


@warehouse.command("not-due")
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@of_stream
def not_due(day: datetime, *, stream: str | None) -> None:
    """Forget that a day has to be rebuilt, and leave it as it is."""
    from engagement_platform.adapters.platform.migrate import ensure_schema
    from engagement_platform.adapters.platform.rebuilds import DueDays
    from engagement_platform.adapters.stream_table import table_now
    from engagement_platform.adapters.warehouse.connect import open_warehouse

    settings = settings_of(stream)
    ensure_schema(settings)
    table_id = open_warehouse(settings).ensure(table_now(settings))
    with DueDays.opened(settings, "not-due") as due_days:
        due_days.forget(table_id, day.date())
    click.echo(f"{day.date()} stays as it is.")


def _tell(days: Sequence[date], done: str) -> None:
    click.echo(done)
    if days:
        click.echo(f"Due, and rebuilt by Dagster within minutes: {', '.join(map(str, days))}")
