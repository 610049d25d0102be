"""The statements on the warehouse's table of a stream: templates of `table.sql` over the stream's names."""

from engagement_platform.adapters import sql
from engagement_platform.domain.event_stream import EventStream

_SQL = sql.load(__package__, "table.sql")


def statement(stream: EventStream, name: str, **values: object) -> str:
    """Return a statement in BigQuery's dialect, with `values` in the place of its other braces."""
    shown = next((dimension for dimension in stream.views.dimensions if dimension.shown), None)
    summed = stream.views.first_sum
    texts: dict[str, object] = {
        "table": stream.table,
        "id": _identifier(stream.source.id),
        "time": _identifier(stream.source.time),
        "user": "NULL" if stream.user is None else _identifier(stream.user),
        "amount": "0" if summed is None else f"IFNULL({_identifier(summed)}, 0)",
        "unjoined": "FALSE"
        if shown is None
        else f"{_identifier(shown.column)} IS NOT NULL AND {_identifier(shown.shown[0])} IS NULL",
        **values,
    }
    return sql.filled(_SQL[name], texts)


def _identifier(name: str) -> str:
    return f"`{name}`"
