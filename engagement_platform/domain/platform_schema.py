"""The schemas of the platform's database: one for each stream, so that dropping a stream is dropping its schema."""

import re

from engagement_platform.domain.stream_names import PACKAGED

COMMON = "engagement_platform"
"""The schema of the stream `engagement`, and of what belongs to no stream: the heartbeats of Dagster's runs."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def schema_of(stream: str) -> str:
    """Return the schema of the stream of that name, as SQL writes it. Raises ValueError for what is no such name."""
    if not _NAME.fullmatch(stream):
        raise ValueError(f"{stream!r} is not the name of a stream")
    return COMMON if stream == PACKAGED else f"{COMMON}_{stream}"
