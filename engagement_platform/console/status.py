"""engagement-platform status: arguments only."""

import json
import sys

import click


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--stream", metavar="NAME", help="Only this stream; by default all there are.")
def status(form: str, stream: str | None) -> None:
    """Say whether all is well, how each loop stands, and how many dead letters are open.

    The exit code is 1 when a loop stands still, be it because it is paused.
    """
    from engagement_platform.console.stream_status import as_object, read_each, show
    from engagement_platform.console.streams import settings_of_each

    present = read_each(settings_of_each(stream))
    if form == "json":
        click.echo(json.dumps(as_object(present), ensure_ascii=False))
    else:
        show(present)
    sys.exit(0 if present.summary.well else 1)
