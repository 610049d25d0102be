"""engagement-platform status: arguments only."""

import json
import sys

import click


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status(form: str) -> None:
    """Say whether all is well, how each loop stands, and how many dead letters are open.

    The exit code is 1 when a loop stands still, be it because it is paused.
    """
    from engagement_platform.console.stream_status import as_object, read, show
    from engagement_platform.settings import load

    present = read(load())
    if form == "json":
        click.echo(json.dumps(as_object(present), ensure_ascii=False))
    else:
        show(present)
    sys.exit(0 if present.summary.well else 1)
