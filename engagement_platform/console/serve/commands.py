"""The command `serve`: arguments only."""

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3010, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which the page may be asked for, such as that of a proxy before it. localhost and addresses may.",
)
@click.option(
    "--readers-need-no-token",
    is_flag=True,
    help="Let everybody who reaches another address than loopback read: that is guarded by something else.",
)
@click.option(
    "--dagster",
    "dagster_url",
    metavar="URL",
    help="Where Dagster's own pages are, to link to them; by default ENGAGEMENT_ALERT_DAGSTER_LINK.",
)
def serve(
    *, host: str, port: int, hosts: tuple[str, ...], readers_need_no_token: bool, dagster_url: str | None
) -> None:
    """Serve the page that says whether all is well, its JSON API and the metrics, until stopped.

    It only reads, unless ENGAGEMENT_PAGE_TOKEN is set: whoever has that token may change something.
    """
    from engagement_platform.console.serve.server import run
    from engagement_platform.console.streams import settings_of_each

    run(
        settings_of_each(None),
        host,
        port,
        hosts=hosts,
        readers_need_no_token=readers_need_no_token,
        dagster_url=dagster_url or "",
    )
