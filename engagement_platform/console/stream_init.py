"""Writes the folder of a new stream. No file is replaced."""

import os
import tomllib
from pathlib import Path

import click

from engagement_platform.adapters.source.facts import facts_of
from engagement_platform.adapters.source.look import require_followed
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.domain.drafts.draft import draft_of
from engagement_platform.domain.drafts.source import slug
from engagement_platform.domain.drafts.texts import files_of
from engagement_platform.domain.drafts.values import Draft, Wishes
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream, stream_of
from engagement_platform.domain.statement_text import statement_of
from engagement_platform.settings import source_dsn_of


def write(folder: Path, table: str, wishes: Wishes) -> None:
    """Write the files, and say what was chosen. Raises EngagementError; nothing is written then."""
    dsn = source_dsn_of(wishes.name or slug(table.rsplit(".", 1)[-1].strip('"')))
    draft = draft_of(facts_of(dsn, table), wishes)
    files = files_of(draft)
    _require_free(folder, files)
    require_followed(Origin(dsn, _stream(files)))
    _write(folder, files)
    _tell(folder, draft, files)


def _stream(files: dict[str, str]) -> EventStream:
    return stream_of(tomllib.loads(files["stream.toml"]), statement_of(files["enriched.sql"]), {}, "stream.toml")


def _require_free(folder: Path, files: dict[str, str]) -> None:
    there = [name for name in files if os.path.lexists(folder / name)]
    if there:
        raise EngagementError(
            f"{folder} has {' and '.join(there)} already, and no file is replaced.",
            "Name another folder, or move the files away.",
        )


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise EngagementError(
            f"The folder {folder} cannot be written: {error.strerror}.", "Name a folder that you may write to."
        ) from error


def _tell(folder: Path, draft: Draft, files: dict[str, str]) -> None:
    for name in files:
        click.echo(f"wrote {folder / name}")
    click.echo(f"stream {draft.name}: id {draft.id}, time {draft.time}, key {draft.key}")
    click.echo(f"counted by {', '.join(column for column, _ in draft.dimensions)}")
    click.echo(f"added up: {', '.join(('the number of events', *draft.measures))}")
    for join in draft.joins:
        how = f"offered only: {join.refused}" if join.refused else "joined"
        click.echo(f"{join.key.target.written} (over {', '.join(join.key.columns)}): {how}")
    for remark in draft.remarks:
        click.echo(f"note: {remark}")
    click.echo("Read the two files, change what you like, then:")
    click.echo(f"    engagement-platform stream check {folder}")
    click.echo(f"    engagement-platform stream preview {folder}")
