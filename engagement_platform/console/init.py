"""engagement-platform init: the folder from which Dagster runs the platform over one's own servers."""

import shlex
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write what Dagster needs to run the platform: dagster.yaml, workspace.yaml, .env and a systemd unit.

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
        "As a service of the system:\n"
        f"    sudo cp {shlex.quote(str(home / 'engagement-platform.service'))} /etc/systemd/system/\n"
        "    sudo systemctl daemon-reload\n"
        "    sudo systemctl enable --now engagement-platform"
    )
