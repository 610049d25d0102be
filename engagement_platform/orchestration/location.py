"""Puts together what Dagster loads: what all streams share, and what each has. A broken stream stops itself alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import dagster as dg

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.broken import broken_of
from engagement_platform.orchestration.of_stream import Streams, refused, told_apart

Shared = Callable[[Sequence[EventStream]], dg.Definitions]
"""Returns what streams share."""


def location(streams: Mapping[str, EventStream | SettingsError], shared: Shared) -> dg.Definitions:
    """Return what Dagster loads.

    Dagster looks at the whole only when it loads it, and one stream that cannot stand beside the others would take all
    of them with it. So it is looked at here, which costs nothing: Dagster takes what this has made. Where it refuses
    the whole, each stream is tried beside those before it.
    """
    present = told_apart(streams)
    whole, refusal = _tried(present, shared)
    if whole is not None and refusal is None:
        return whole
    fit = replace(present, usable=[], definitions=[])
    for stream, definitions in zip(present.usable, present.definitions, strict=True):
        more = replace(fit, usable=[*fit.usable, stream], definitions=[*fit.definitions, definitions])
        _, refusal = _tried(more, shared)
        fit = (
            more if refusal is None else replace(fit, broken={**fit.broken, stream.name: refused(stream.name, refusal)})
        )
    return _merged(fit, shared)


def _tried(present: Streams, shared: Shared) -> tuple[dg.Definitions | None, Exception | None]:
    """Return the whole, or why Dagster refuses it."""
    try:
        whole = _merged(present, shared)
        whole.get_repository_def().load_all_definitions()
    except Exception as error:  # its checks raise errors of many kinds
        return None, error
    return whole, None


def _merged(present: Streams, shared: Shared) -> dg.Definitions:
    broken = (broken_of(name, error) for name, error in present.broken.items())
    return dg.Definitions.merge(shared(present.usable), *present.definitions, *broken)
