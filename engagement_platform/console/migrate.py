"""engagement-platform migrate: the tables of the platform's database, before programs of a new version start."""

import click


@click.command()
def migrate() -> None:
    """Bring the tables of the platform and of Dagster, whose instance is that of DAGSTER_HOME, up to date.

    Programs bring their own up to date when they start: this is for who wants that done, and seen, before. Migrations
    only add, so that programs of the version before work beside those of this one.
    """
    from dagster import DagsterInstance

    from engagement_platform.adapters.platform.migrate import ensure_schema
    from engagement_platform.console.streams import settings_of_each
    from engagement_platform.domain.errors import EngagementError
    from engagement_platform.orchestration import private

    for stream, settings in settings_of_each(None).items():
        if isinstance(settings, EngagementError):
            click.secho(f"error: {settings}", fg="red", err=True)  # such a stream stops itself alone
            continue
        ensure_schema(settings)
        click.echo(f"The tables of {stream} are up to date.")
    with DagsterInstance.get() as instance:
        private.migrate(instance, click.echo)
    click.echo("Dagster's tables are up to date.")
