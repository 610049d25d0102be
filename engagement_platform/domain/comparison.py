"""By what a day of the warehouse is compared with the source, beside the ids: a function of the stream and its schema.

Not by every column. A row keeps what a joined table had when the row was written, and that table's owner may change it
at any time; the stream's own table is only appended to. So compared are the columns that stand in the row as the
source's own table has them, and whatever the views add up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from engagement_platform.domain.columns import Base, Column, Schema
from engagement_platform.domain.event_stream import EventStream


@dataclass(frozen=True, slots=True)
class Comparison:
    """By what the rows of a day are compared."""

    measures: tuple[Column, ...] = ()
    """What the views add up; each is compared, and so are their sums."""
    hashed: tuple[Column, ...] = ()
    """The other columns of the source's own table: by one digest, which either side computes."""
    plain: tuple[Column, ...] = ()
    """Those among them that have no text which both sides would write alike: by their values."""
    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What is joined -> the column that names a row of it, and one that is null only where there is no such row."""


_WITHOUT_A_TEXT = (Base.FLOAT, Base.NUMERIC)


def comparison_of(stream: EventStream, schema: Schema, own: Collection[str]) -> Comparison:
    """Return what to compare; `own` are the columns that are the source's own table's, unchanged."""
    summed = {measure.column for measure in stream.views.measures}
    others = [column for column in schema.columns if column.name in own and column.name not in (*summed, schema.id)]
    return Comparison(
        measures=tuple(column for column in schema.columns if column.name in summed),
        hashed=tuple(column for column in others if column.type.base not in _WITHOUT_A_TEXT),
        plain=tuple(column for column in others if column.type.base in _WITHOUT_A_TEXT),
        joined={
            name: (joined.column, joined.brings) for name, joined in stream.joined.items() if joined.brings not in own
        },
    )
