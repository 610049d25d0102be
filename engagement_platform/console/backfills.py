"""What `backfill` does: rebuild days by Dagster's partition backfill and watch it, or publish events again."""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import click
import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engagement_platform.adapters.source.history import Chosen, Happened
from engagement_platform.console.stale import instance, tables_of
from engagement_platform.console.times import span
from engagement_platform.definitions import definitions
from engagement_platform.domain.coverage import Published
from engagement_platform.domain.days import between as between_days
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.domain.removal import TAG
from engagement_platform.domain.stream_names import aimed
from engagement_platform.history.published import between
from engagement_platform.history.replay import replay
from engagement_platform.orchestration.private import REPEATS, AssetGraph, asset_graph
from engagement_platform.orchestration.warehouse import backfill as backfills
from engagement_platform.orchestration.warehouse.backfill import DayState, obstacles
from engagement_platform.settings import Settings, first_day, variable

_POLL_SECONDS = 1.0
_WAIT_SECONDS = 15.0
"""How long no day may change before it is said what is in the way."""
_SAY_AGAIN_SECONDS = 60.0


def run(
    settings: Settings,
    days: list[date],
    assets: Sequence[dg.AssetKey] | None = None,
    *,
    resume: str | None,
    retry: str | None,
    cancel: str | None,
    allow_removal: bool,
    detach: bool,
) -> None:
    """Start a backfill of days, or of those that another has left, or come back to one, and watch it to its end.

    `assets` are the tables, by default all of the stream.
    """
    why = "engagement-platform backfill"
    with instance() as dagster:
        graph = asset_graph(definitions)
        if cancel is not None:
            backfills.cancel(dagster, cancel)
            click.echo(f"Backfill {cancel} is being ended.")
            return
        backfill_id = resume
        assets = tables_of(settings) if assets is None else assets
        if retry is not None:
            failed = backfills.progress(dagster, graph, retry)
            days, assets, why = backfills.to_retry(failed), failed.assets, f"the failed days of {retry}"
            if not days:
                click.echo(f"No day of backfill {retry} has failed.")
        if days:
            backfill_id = launch(dagster, assets, days, why, allow_removal=allow_removal, repeats=retry or "")
        if backfill_id is None:
            return
        if not detach:
            sys.exit(0 if watch(settings, dagster, graph, backfill_id) else 1)
        for obstacle in obstacles(dagster, settings, backfill_id):
            click.echo(obstacle)


def replay_events(
    settings: Settings, since: str | None, until: str | None, by: str, ids: str | None, *, to_api: bool, dry_run: bool
) -> None:
    """Publish events again, for outside readers or the partner; Redis and the warehouse ignore them."""
    if since is None and ids is None:
        raise click.UsageError("--to replay-topic and --to api need --since or --ids.")
    if to_api and not settings.api.url.get_secret_value():
        raise SettingsError("There is no partner to deliver to.", f"Set {settings.variable_of('api_url')}.")
    chosen, what = _numbered(ids) if ids is not None else _within(settings, since or "", until, by)
    goal = settings.topics.replays + (", for the partner" if to_api else "")
    if dry_run:
        click.echo(f"Events {what} would be published to {goal}.")
        return
    sent = replay(settings, chosen, lambda number: click.echo(f"{number} events"), to_api=to_api)
    click.echo(f"{sent} events {what} are in {goal}.")
    if to_api:
        click.echo("The loop forward delivers them, beside those of the stream.")


def _numbered(text: str) -> tuple[Chosen, str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) < 1 << 63 for part in parts):
        raise click.UsageError(f"--ids {text!r} is no list of ids such as 7,12,31.")
    return [int(part) for part in parts], f"with the ids {text}"


def _within(settings: Settings, since: str, until: str | None, by: str) -> tuple[Chosen, str]:
    """Return the events of the time that the options name. Raises click.UsageError, EngagementError."""
    begin, end = span(since, until)
    if by == "event-time":
        return Happened(begin, end), f"that happened from {begin} to before {end}"
    published_until = None if until is None else end
    when = f"from {begin} to {'now' if until is None else f'before {end}'}"
    chosen = between(settings, begin, published_until)
    if isinstance(chosen, Published):
        return chosen, f"published {when}"
    click.echo(f"No checkpoint is kept from before {begin}: the events that happened since are taken, too.")
    return chosen, f"that happened or were published {when}"


def launch(
    dagster: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    days: list[date],
    why: str,
    *,
    allow_removal: bool = False,
    repeats: str = "",
) -> str:
    """Start a backfill of tables, which may repeat what another one has left; say how to come back to it."""
    backfills.require_daemon(dagster)
    announce(days)
    tags = ({TAG: "true"} if allow_removal else {}) | ({REPEATS: repeats} if repeats else {})
    backfill_id = backfills.start(assets, days, why, tags=tags)
    again = aimed(f"engagement-platform backfill --resume {backfill_id}")
    click.echo(f"Backfill {backfill_id}. After an interruption: {again}")
    return backfill_id


def announce(days: list[date]) -> None:
    """Say which days are meant."""
    click.echo(f"{len(days)} days, {days[0]} to {days[-1]}.")


def days_between(stream: str, since: str, until: str | None) -> list[date]:
    """Return the days that the options name. Raises click.UsageError, and SettingsError for days out of range."""
    now = datetime.now(UTC)
    days = between_days(*span(since, until))
    if days[-1] > now.date():
        raise click.UsageError(f"--until lies after today, {now.date()} (UTC).")
    first = first_day(stream)
    if days[0] < first:
        raise SettingsError(
            f"{days[0]} is before {first}, the first day that Dagster knows.",
            f"Set {variable('first_day')} to {days[0]} or an earlier day, for Dagster too, and start it again.",
        )
    return days


def watch(settings: Settings, dagster: dg.DagsterInstance, graph: AssetGraph, backfill_id: str) -> bool:
    """Show a backfill's progress until it ends; return whether every day was done."""
    console = Console()
    told: set[date] = set()
    waiting = _Waiting(settings, dagster, backfill_id)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("days", total=None)
        while True:
            seen = backfills.progress(dagster, graph, backfill_id)
            for day, state in seen.days.items():
                if state in (DayState.DONE, DayState.FAILED) and day not in told:
                    told.add(day)
                    console.print(f"{day} {state.value}", highlight=False)
            running = seen.in_state(DayState.RUNS)
            what = f"{running[0]} and {len(running) - 1} more" if len(running) > 1 else "".join(map(str, running))
            bar.update(task, total=len(seen.days), completed=len(told), description=what or "waiting")
            if seen.ended:
                break
            for obstacle in waiting.obstacles(seen):
                console.print(obstacle, highlight=False, markup=False)
            time.sleep(_POLL_SECONDS)
    return _sum_up(seen)


class _Waiting:
    """Tells what a backfill waits for, when no day has changed for a while."""

    def __init__(self, settings: Settings, dagster: dg.DagsterInstance, backfill_id: str) -> None:
        self._settings = settings
        self._dagster = dagster
        self._backfill_id = backfill_id
        self._days: Mapping[date, DayState] = {}
        self._ask_at = 0.0

    def obstacles(self, seen: backfills.Progress) -> list[str]:
        """Return what is in the way, once in a while."""
        now = time.monotonic()
        if seen.days != self._days:
            self._days, self._ask_at = seen.days, now + _WAIT_SECONDS
        if now < self._ask_at:
            return []
        self._ask_at = now + _SAY_AGAIN_SECONDS
        return obstacles(self._dagster, self._settings, self._backfill_id)


def _sum_up(seen: backfills.Progress) -> bool:
    done, undone = seen.in_state(DayState.DONE), backfills.to_retry(seen)
    click.echo(f"{len(done)} of {len(seen.days)} days done. {seen.status.replace('_', ' ').capitalize()}.")
    again = aimed(f"engagement-platform backfill --retry {seen.backfill_id}")
    if seen.error:
        raise EngagementError(f"The backfill has failed: {seen.error}", f"To go on with the days left: {again}")
    if undone:
        click.echo(f"Not done: {', '.join(map(str, undone))}")
        click.echo(f"To try those again: {again}")
    return len(done) == len(seen.days)
