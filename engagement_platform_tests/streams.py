"""Streams beside the packaged one: with other dimensions and measures, and with as many as one does not think of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from unittest import mock

from engagement_platform.adapters import streams
from engagement_platform.domain.batches import Lines
from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.event_stream import EventStream, stream_of
from engagement_platform.domain.stream_table import table_of
from engagement_platform.domain.table import Table
from engagement_platform.settings import STREAM

PACKAGED: EventStream = streams.stream_named(STREAM)
"""The one that comes with the package."""

ENGAGEMENT = Schema(
    tuple(
        Column(name, parsed(of))
        for name, of in {
            "id": "integer",
            "content_id": "uuid",
            "user_id": "uuid",
            "event_type": "text",
            "event_ts": "timestamp",
            "duration_ms": "integer",
            "device": "text",
            "raw_payload": "jsonb",
            "slug": "text",
            "title": "text",
            "content_type": "text",
            "length_seconds": "integer",
            "engagement_seconds": "numeric(18,2)",
            "engagement_pct": "numeric(18,2)",
        }.items()
    ),
    id="id",
    time="event_ts",
    key="content_id",
)
"""The schema of the packaged stream's messages, which has the number 1."""

ENGAGEMENT_EVENTS: Table = table_of(PACKAGED, ENGAGEMENT)
"""The packaged stream's table in the warehouse."""

_lines = Lines(ENGAGEMENT)
line_of = _lines.of
"""Make the line of a message of the packaged stream."""
decode = _lines.reader.decode
"""Read a message of the packaged stream."""
id_of = _lines.reader.id_of

ORDERS: EventStream = stream_of(
    {
        "name": "orders",
        "meaning": "What was bought.",
        "source": {"table": "shop.orders", "id": "order_no", "time": "placed_at"},
        "message": {"key": "customer_id"},
        "views": {
            "dimensions": {"country": {"column": "country"}, "channel": {"column": "channel"}},
            "measures": {"cents": "cents"},
        },
        "warehouse": {"table": "orders"},
    },
    "SELECT order_no, placed_at, customer_id, country, channel, cents FROM shop.orders",
    {},
    "orders/stream.toml",
)

VISITS: EventStream = stream_of(
    {
        "name": "visits",
        "meaning": "Several sums, several dimensions with columns to show, one column in several places, a keyword.",
        "source": {"table": "visits", "id": "id", "time": "from"},
        "message": {"key": "page"},
        "views": {
            "dimensions": {
                "kind": {"column": "class"},
                "page": {"column": "page", "shown": ["title", "class", "bytes"]},
                "site": {"column": "site", "shown": ["page"]},
                "referrer": {"column": "page"},
            },
            "measures": {"bytes": "bytes", "ms": "ms", "again": "bytes"},
        },
        "warehouse": {"table": "visits"},
    },
    'SELECT id, "from", "class", page, site, title, bytes, ms FROM visits',
    {},
    "visits/stream.toml",
)

PINGS: EventStream = stream_of(
    {
        "name": "pings",
        "meaning": "One dimension, and nothing to sum.",
        "source": {"table": "pings", "id": "id", "time": "at"},
        "message": {"key": "host"},
        "views": {"dimensions": {"host": {"column": "host"}}},
        "warehouse": {"table": "pings"},
    },
    "SELECT id, at, host FROM pings",
    {},
    "pings/stream.toml",
)


@contextmanager
def known(*more: EventStream) -> Iterator[None]:
    """Let this process find streams by their names, as if their folders were in ENGAGEMENT_STREAMS."""
    every = dict(streams.streams()) | {stream.name: stream for stream in more}
    with mock.patch.object(streams, "streams", return_value=every):
        yield


def write_folder(
    path: Path, name: str, *, toml: str = "", enriched: str | None = None, table: str = "", source: str = "pings"
) -> Path:
    """Write the folder of a stream over a table with id, at and host; `toml` are more lines of its stream.toml."""
    path.mkdir()
    (path / "stream.toml").write_text(
        f'name = "{name}"\nmeaning = "The events of {name}."\n'
        f'source = {{ table = "{source}", id = "id", time = "at" }}\nmessage = {{ key = "host" }}\n'
        f'views = {{ dimensions = {{ host = {{ column = "host" }} }} }}\n'
        f'warehouse = {{ table = "{table or name}" }}\n{toml}'
    )
    (path / "enriched.sql").write_text(f"SELECT id, at, host FROM {source}" if enriched is None else enriched)
    return path


def made(
    name: str,
    *,
    table: str,
    source: str = "events",
    joins: tuple[str, ...] = (),
    marts: Mapping[str, str] = MappingProxyType({}),
    **more: object,
) -> EventStream:
    """Return a stream with names of one's own; `more` are other parts of its stream.toml."""
    return stream_of(
        {
            "name": name,
            "meaning": f"The events of {name}.",
            "source": {"table": source, "id": "id", "time": "at"},
            "message": {"key": "host"},
            "views": {"dimensions": {"host": {"column": "host"}}},
            "warehouse": {"table": table},
            "tables": {join: {"id": {"type": "bigint", "meaning": "Names the row."}} for join in joins},
        }
        | more,
        f"SELECT id, at, host FROM {source}",
        marts,
        f"{name}/stream.toml",
    )
