"""What a generation of the views counts, as its meta says it: so that other dimensions or measures build new ones."""

from typing import Any, Final

import msgspec

from engagement_platform.domain.event_stream import EventStream

UNSAID: Final = (
    '{"time":"event_ts","dimensions":[{"name":"content","column":"content_id","shown":["slug","title","content_type"]},'
    '{"name":"content_type","column":"content_type","shown":[]},{"name":"device","column":"device","shown":[]}],'
    '"measures":[{"name":"count","column":null},{"name":"ms","column":"duration_ms"}]}'
)
"""What a generation counts whose meta does not say it: the version that built it knew one stream. As in common.lua."""


def counted_by(stream: EventStream) -> str:
    """Return what the views of a stream count, one text for one meaning. The scripts read it."""
    views = stream.views
    return msgspec.json.encode(
        {"time": stream.source.time, "dimensions": views.dimensions, "measures": views.measures}
    ).decode()


class _Dimension(msgspec.Struct):
    name: str
    column: str
    shown: list[str]


class _Measure(msgspec.Struct):
    name: str
    column: str | None


class _Counted(msgspec.Struct):
    time: str
    dimensions: list[_Dimension]
    measures: list[_Measure]


def require_readable(said: Any) -> None:
    """Raise ValueError for a text that `counted_by` did not write."""
    msgspec.json.decode(said, type=_Counted)  # its errors are ValueErrors
