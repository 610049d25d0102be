"""engagement-platform stream preview: the messages of the newest events as the relay would publish them."""

import time
from pathlib import Path

import click

from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import Origin
from engagement_platform.adapters.source.reader import open_source
from engagement_platform.adapters.source.rows import Limits, Row
from engagement_platform.adapters.streams import read
from engagement_platform.domain.messages import HEADER_SCHEMA_VERSION, HEADER_UNSEEN_AT, fault, largest_value
from engagement_platform.settings import about, source_dsn_of

_MAX_MESSAGE_BYTES = 1_048_588
"""What Kafka's topics take by default; that of the stream's own topic is known once it is there."""


def show(folder: Path, last: int) -> None:
    """Print key, headers and value of the newest events, the newest last. Raises EngagementError."""
    stream = read(folder)
    with about(stream.name):
        origin = Origin(source_dsn_of(stream.name), stream)
        schema = schema_now(origin)
        limit = largest_value(_MAX_MESSAGE_BYTES)
        with open_source(origin) as source:
            ids = source.newest_ids(source.highest_id(), last)
            if not ids:
                click.echo(f"{stream.source.name} has no rows yet.")
                return
            unseen_at = int(time.time() * 1e6)
            rows = source.read(ids[-1] - 1, (), Limits(rows=last, bytes=1 << 40, message_bytes=limit)).rows
        for row in rows:
            _show(row, unseen_at, limit, schema.time)
        click.echo(f"{len(rows)} of stream {stream.name}, schema {schema.hash}. Nothing was published.")


def _show(row: Row, unseen_at: int, limit: int, time_column: str) -> None:
    reason = fault(row.bytes, limit, row.has_timestamp, time_column)
    if reason is not None:
        click.echo(f"id {row.id} would be a dead letter: {reason}")
    else:
        click.echo(f"key: {'null' if row.key is None else row.key.decode()}")
        # The number of the schema is given when a message has it for the first time.
        click.echo(f"headers: {HEADER_SCHEMA_VERSION}=…, {HEADER_UNSEEN_AT}={unseen_at}")
        click.echo(f"value: {row.value.decode()}")
    click.echo("")
