"""The operator's commands: init, doctor, status, checkpoint, views."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engagement_platform.console.streams import of_stream, settings_of

if TYPE_CHECKING:
    from rich.console import Console

    from engagement_platform.console.doctor import Effective
    from engagement_platform.domain.checkpoint import Checkpoint


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write what Dagster needs to run the platform: dagster.yaml, workspace.yaml, .env and systemd units.

    A file that is there already is left as it is.
    """
    from engagement_platform.console.folder.write import write

    home = folder.absolute()
    for path, is_new in write(home):
        click.echo(f"{'wrote' if is_new else 'kept '} {path}")
    click.echo(
        f"Now set the two settings at the top of {home / '.env'}, then:\n"
        f"    cd {shlex.quote(str(home))}\n"
        "    set -a; . ./.env; set +a\n"
        "    engagement-platform doctor\n"
        "    dagster dev\n"
        "and in another terminal, with the same settings, the page that says whether all is well:\n"
        "    engagement-platform serve\n"
        "As services of the system:\n"
        f"    sudo cp {shlex.quote(str(home))}/*.service /etc/systemd/system/\n"
        "    sudo systemctl daemon-reload\n"
        "    sudo systemctl enable --now engagement-platform engagement-platform-page"
    )


@click.command()
@click.option("--all-settings", is_flag=True, help="Show the settings that have their default, too.")
@click.option("--stream", metavar="NAME", help="Only this stream; by default all there are.")
@click.option("--settings", "settings_alone", is_flag=True, help="Ask no server; exit 1 when no stream can run.")
def doctor(*, all_settings: bool, stream: str | None, settings_alone: bool) -> None:
    """Check every server and right, then show the settings that are set; exit 1 when something is missing."""
    if settings_alone:
        _check_settings(stream)
        return
    from rich.console import Console

    from engagement_platform.console import doctor as examination
    from engagement_platform.console.doctor import effective
    from engagement_platform.console.finding import Finding, show
    from engagement_platform.console.streams import settings_of_each
    from engagement_platform.domain.errors import EngagementError
    from engagement_platform.settings import about

    console = Console()
    faults = 0
    common_seen = False
    shown: list[Effective] = []
    streams = settings_of_each(stream)
    for name, settings in streams.items():
        if len(streams) > 1:
            console.print(f"[bold]{name}[/]")
        with about(name):
            if isinstance(settings, EngagementError):
                faults += show(console, Finding("fault", settings.what, settings.todo), settings.what)
                continue
            examine = examination.examine_stream if common_seen else examination.examine
            common_seen = True
            faults += sum(show(console, finding, finding.what) for finding in examine(settings))
        new = [one for one in effective(settings) if one not in shown]
        _show_settings(console, new, all_settings=all_settings)
        shown += new
    if not common_seen:
        faults += sum(show(console, finding, finding.what) for finding in examination.examine_common())
    if faults:
        console.print(f"[red]{faults} to mend.[/]")
        sys.exit(1)
    console.print("[green]Everything needed is there.[/]")


def _check_settings(stream: str | None) -> None:
    """Name what is wrong with settings. One stream whose own are at fault does not keep the others from starting."""
    from engagement_platform.console.streams import settings_of_each
    from engagement_platform.domain.errors import EngagementError

    each = settings_of_each(stream)
    unusable = {name: error for name, error in each.items() if isinstance(error, EngagementError)}
    for name, error in unusable.items():
        click.echo(f"error: stream {name}: {error.what}\nwhat to do: {error.todo}", err=True)
    if len(unusable) == len(each):
        sys.exit(1)


def _show_settings(console: "Console", settings: list["Effective"], *, all_settings: bool) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    shown = [one for one in settings if all_settings or not one.is_default]
    # A name is never cut, since it is there to be copied.
    table = Table(Column("variable", no_wrap=True), Column("value", overflow="fold"), "meaning", title="Settings")
    for one in shown:
        # As texts, for brackets in a value are no markup.
        table.add_row(one.variable, Text(one.value, style="" if one.is_default else "bold"), Text(one.meaning))
    console.print(table)
    if len(shown) < len(settings):
        click.echo(f"{len(settings) - len(shown)} other settings have their default: --all-settings shows them.")


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--stream", metavar="NAME", help="Only this stream; by default all there are.")
def status(form: str, stream: str | None) -> None:
    """Say whether all is well, how each loop stands, and how many dead letters are open.

    The exit code is 1 when a loop stands still, be it because it is paused.
    """
    from engagement_platform.console.stream_status import as_object, show
    from engagement_platform.console.streams import settings_of_each
    from engagement_platform.health.read import read_each

    present = read_each(settings_of_each(stream))
    if form == "json":
        click.echo(json.dumps(as_object(present), ensure_ascii=False))
    else:
        show(present)
    sys.exit(0 if present.summary.well else 1)


@click.group()
def checkpoint() -> None:
    """Show or mend where the relay stands."""


@checkpoint.command()
@of_stream
def show(*, stream: str | None) -> None:
    """Show the checkpoint in Kafka and its copy in the platform database."""
    from engagement_platform.recovery import relay

    kept, copy = relay.show(settings_of(stream))
    click.echo(f"Kafka: {_described(kept)}")
    click.echo(f"copy:  {_described(copy)}")


@checkpoint.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def restore(*, yes: bool, stream: str | None) -> None:
    """Take up the copy after Kafka has lost its checkpoint."""
    settings = settings_of(stream)
    if not yes:
        click.confirm("Events of about the last second before the loss may be published twice. Go on?", abort=True)
    from engagement_platform.recovery import relay

    click.echo(f"The relay goes on from {_described(relay.restore(settings))}")


@checkpoint.command()
@click.option("--at", required=True, metavar="latest|earliest|ID", help="Where to begin.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def reset(at: str, *, yes: bool, stream: str | None) -> None:
    """Begin anew, on the source as it is now."""
    settings = settings_of(stream)
    if not yes:
        click.confirm(
            "What lies between the old and the new place is published twice or not at all. Go on?", abort=True
        )
    from engagement_platform.recovery import relay

    click.echo(f"The relay goes on from {_described(relay.reset(settings, at))}")


@checkpoint.command()
@click.option("--force", is_flag=True, help="Also when published ids belong to other rows by now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_stream
def adopt(*, force: bool, yes: bool, stream: str | None) -> None:
    """Go on at the same id with another table, sequence or server that has the same rows."""
    from engagement_platform.recovery import relay

    settings = settings_of(stream)
    if not yes:
        click.confirm("Every event that was published must stand there under its id. Go on?", abort=True)
    click.echo(f"The relay goes on from {_described(relay.adopt(settings, force=force))}")


def _described(last: "Checkpoint | None") -> str:
    if last is None:
        return "none"
    from engagement_platform.domain.checkpoint import open_ids

    source = last.source
    return f"id {last.hi}, {open_ids(last)} ids below it open, database {source.database}, timeline {source.timeline}"


@click.group()
def views() -> None:
    """Mend the views in Redis."""


@views.command()
@of_stream
def rebuild(*, stream: str | None) -> None:
    """Count the window anew from Kafka; readers keep the old views until the new ones are complete."""
    from engagement_platform.recovery.tally import rebuild_views

    rebuild_views(settings_of(stream))
    click.echo("The tally builds the views anew.")
