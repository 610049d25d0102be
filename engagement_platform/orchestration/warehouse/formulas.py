"""Which days of the warehouse's tables another formula than that of now has made, as Dagster's materializations tell.

A rebuild is tagged with the `code_version` of its asset. What the stream adds to a day later must not hide that: its
reports carry on what the day's last report had.
"""

from collections.abc import Iterable, Mapping
from datetime import date

import dagster as dg

from engagement_platform.orchestration.private import latest_tags

CODE_VERSION = "dagster/code_version"
FILLED_BY = "engagement/filled_by_version"
"""Tag of a report of the stream: the formula by which it began to fill a day that no rebuild has made."""
_PROVENANCE = (CODE_VERSION, "dagster/input_data_version/", "dagster/input_event_pointer/", FILLED_BY)


def tags_to_carry(tags: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the tags for a report of the stream on a day whose last report had `tags`; `version` is that of now."""
    carried = {name: value for name, value in tags.items() if name.startswith(_PROVENANCE)}
    return carried or {FILLED_BY: version}


def stale_days(instance: dg.DagsterInstance, specs: Iterable[dg.AssetSpec]) -> dict[dg.AssetKey, list[date]]:
    """Return for each asset with a formula the days, ascending, that another one has made; mostly none."""
    stale = {spec.key: _made_by_another(instance, spec) for spec in specs if spec.code_version}
    return {key: days for key, days in stale.items() if days}


def with_downstream(specs: Iterable[dg.AssetSpec], keys: Iterable[dg.AssetKey]) -> list[dg.AssetKey]:
    """Return those of the assets that have these keys, or are made from one of them, in the order of `specs`."""
    specs, chosen = list(specs), set(keys)
    while more := {
        spec.key for spec in specs if spec.key not in chosen and any(dep.asset_key in chosen for dep in spec.deps)
    }:
        chosen |= more
    return [spec.key for spec in specs if spec.key in chosen]


def formula_of(tags: Mapping[str, str]) -> str | None:
    """Return the formula that has made a day, as the tags of its last report tell; None where they do not."""
    return tags.get(CODE_VERSION, tags.get(FILLED_BY))


def _made_by_another(instance: dg.DagsterInstance, spec: dg.AssetSpec) -> list[date]:
    made_by = {day: formula_of(tags) for day, tags in latest_tags(instance, spec.key).items()}
    known = spec.partitions_def
    return sorted(
        date.fromisoformat(day)
        for day, by in made_by.items()
        if by not in (None, spec.code_version) and (known is None or known.has_partition_key(day))
    )
