"""engagement-platform backfill: arguments only."""

import click

from engagement_platform.console.streams import of_stream, settings_of
from engagement_platform.console.times import span


@click.command()
@click.option("--since", metavar="TIME", help="The first day, or a time on it, in UTC: 2024-08-01T00:00:00.")
@click.option("--until", metavar="TIME", help="The time before which the last day lies; by default now.")
@click.option(
    "--to",
    "target",
    type=click.Choice(["warehouse", "replay-topic", "api"]),
    default="warehouse",
    help="Rebuild the days in the warehouse, or publish their events again: to the topic of replays, or to the "
    "partner's API by way of that topic.",
)
@click.option(
    "--by",
    type=click.Choice(["published", "event-time"]),
    default="published",
    help="What --since and --until mean with --to replay-topic and --to api: when the stream published the events, be "
    "they old ones whose transactions committed late; or when they happened. For the warehouse they name days.",
)
@click.option(
    "--stale",
    is_flag=True,
    help="The days that another formula than that of now has made, and no others, of those tables and of what is made "
    "from them.",
)
@click.option("--ids", metavar="ID,ID,...", help="With --to replay-topic and --to api: these events, at any time.")
@click.option(
    "--allow-removal", is_flag=True, help="Rebuild a day also where that takes a large part of its rows away."
)
@click.option("--dry-run", is_flag=True, help="Only say which days would be rebuilt.")
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
@click.option("--resume", metavar="ID", help="Watch a backfill that was started before.")
@click.option(
    "--retry",
    metavar="ID",
    help="Start a backfill of the days that failed in an earlier one, or were not done at its end.",
)
@click.option("--cancel", metavar="ID", help="End a backfill; days that are done stay done.")
@of_stream
def backfill(
    *,
    since: str | None,
    until: str | None,
    stale: bool,
    target: str,
    by: str,
    ids: str | None,
    allow_removal: bool,
    dry_run: bool,
    detach: bool,
    resume: str | None,
    retry: str | None,
    cancel: str | None,
    stream: str | None,
) -> None:
    """Rebuild days of the warehouse from the source, beside the stream.

    It is Dagster's partition backfill: the UI shows it too, and it goes on when this command is interrupted.
    """
    _require_one(since, "stale" if stale else None, ids, resume, retry, cancel)
    if until is not None and since is None:
        raise click.UsageError("--until goes with --since.")
    if dry_run and since is None and ids is None and not stale:
        raise click.UsageError("--dry-run goes with --since, --stale and --ids.")
    if stale and target != "warehouse":
        raise click.UsageError("--stale is about the days of the warehouse.")
    if ids is not None and target == "warehouse":
        raise click.UsageError("--ids goes with --to replay-topic and --to api: the warehouse is rebuilt by days.")
    if since is not None:
        span(since, until)  # so that what is wrong with a time is said before anything else is imported
    from engagement_platform.console import backfills

    settings = settings_of(stream)
    if target != "warehouse":
        backfills.replay_events(settings, since, until, by, ids, to_api=target == "api", dry_run=dry_run)
        return
    days = [] if since is None else backfills.days_between(settings.stream, since, until)
    assets = None
    if stale:
        from engagement_platform.console.stale import stale_of

        assets, days = stale_of(settings)
        if not days:
            click.echo("No day is stale: each was made by the formula of now.")
            return
    if dry_run:
        backfills.announce(days)
        return
    backfills.run(
        settings,
        days,
        assets,
        resume=resume,
        retry=retry,
        cancel=cancel,
        allow_removal=allow_removal,
        detach=detach,
    )


def _require_one(*chosen: str | None) -> None:
    if sum(choice is not None for choice in chosen) != 1:
        raise click.UsageError("Give one of --since, --stale, --ids, --resume, --retry and --cancel.")
