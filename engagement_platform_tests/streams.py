"""Streams beside the packaged one: with other dimensions and measures, and with as many as one does not think of."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from engagement_platform.adapters import streams
from engagement_platform.domain.event_stream import EventStream, stream_of
from engagement_platform.settings import STREAM

PACKAGED: EventStream = streams.stream_named(STREAM)

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
