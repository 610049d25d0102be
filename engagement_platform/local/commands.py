"""The commands of the local stack: up, down, reset, status of its servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from engagement_platform.local.stack import Endpoints, Shown

state_dir = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="ENGAGEMENT_STATE_DIR",
    default=Path(".engagement"),
    show_default=True,
    help="Folder of the local stack.",
)


@contextmanager
def bars() -> Iterator["Shown"]:
    """Show each piece of work on standard error while the block runs, as a line with its elapsed time."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        @contextmanager
        def shown(name: str, what: str) -> Iterator[None]:
            task = progress.add_task(f"{name}: {what}", total=1)
            yield
            progress.update(task, completed=1, description=f"{name}: ready")

        yield shown


def start(folder: Path) -> "Endpoints":
    """Start what is missing of the stack with progress on the screen, and write its `local.env`."""
    from engagement_platform.local import stack

    with bars() as shown:
        endpoints = stack.up(folder, shown)
    stack.write_environment(stack.environment(endpoints, folder), folder)
    return endpoints


@click.command()
@state_dir
def up(state_dir: Path) -> None:
    """Start what is missing of the local stack: PostgreSQL, Kafka, Valkey and httpbin. What runs is left alone."""
    start(state_dir)
    click.echo(f"The stack runs. Load its settings with: set -a; . {state_dir}/local.env; set +a")


@click.command()
@state_dir
def down(state_dir: Path) -> None:
    """Stop the local stack; its data stays."""
    from engagement_platform.local import stack

    stack.down(state_dir)
    click.echo("The stack is stopped.")


@click.command()
@state_dir
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(state_dir: Path, *, yes: bool) -> None:
    """Stop the local stack and delete all its data."""
    if not yes:
        click.confirm(f"Delete everything in {state_dir.absolute()}?", abort=True)
    from engagement_platform.local import stack

    stack.reset(state_dir)
    click.echo("The stack and its data are gone.")
