"""What each asset tells of itself in Dagster's catalog: who answers for it, where it lies, its columns, its code, help.

It costs nothing that a definition has not cost before: the folder of the stream is read already, and no server is
asked. Columns that are computed have their types in the materializations of a rebuild, which knows them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import dagster as dg

from engagement_platform.adapters.streams import folder_of
from engagement_platform.domain import owners
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.places import Place
from engagement_platform.domain.source_tables import Needed
from engagement_platform.orchestration.assets import source_key, source_keys, streamed_key
from engagement_platform.orchestration.dead_letters import dead_letters_key
from engagement_platform.orchestration.evidence import evidence_key
from engagement_platform.orchestration.places import places_of
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.marts import mart_key
from engagement_platform.settings import Catalog, catalog_of
from engagement_platform.stream.registry import LOOPS

Asset = dg.AssetSpec | dg.AssetsDefinition
HELP = "what to do"
_PAGE = "dagster.md"
_COMPUTED = "computed"
"""The type of a column that no table of the source has; a rebuild reports the real one."""

SOURCE, FILLED, LETTERS, EVENTS, DAILY, EVIDENCE = (
    "the-source", "what-the-loops-fill", "dead-letters", "the-events", "the-daily-tables", "evidence",
)  # fmt: skip
"""Headings of docs/dagster.md."""


def catalogued(stream: EventStream, assets: Iterable[Asset]) -> list[Asset]:
    """Return what a stream makes, told. Raises SettingsError."""
    catalog, where = catalog_of(stream.name), places_of(stream)
    told = _told_of(stream)
    return _mapped(assets, partial(_told, told, where, owners.of(catalog.owners), catalog))


def catalogued_sources(streams: Iterable[EventStream], specs: Iterable[dg.AssetSpec]) -> list[Asset]:
    """Return the tables that streams read, told, each as the first stream that reads it has it."""
    by_key: dict[dg.AssetKey, EventStream] = {}
    for stream in streams:
        for key in source_keys(stream):
            by_key.setdefault(key, stream)
    told = {stream.name: (catalog_of(stream.name), places_of(stream), _told_of(stream)) for stream in by_key.values()}

    def tell(spec: dg.AssetSpec) -> dg.AssetSpec:
        catalog, where, of = told[by_key[spec.key].name]
        return _told(of, where, owners.of(catalog.source_owners), catalog, spec)

    return _mapped(specs, tell)


def _mapped(assets: Iterable[Asset], tell: Callable[[dg.AssetSpec], dg.AssetSpec]) -> list[Asset]:
    return list(dg.map_asset_specs(tell, list(assets)))


Told = Mapping[dg.AssetKey, tuple[str, list[dg.TableColumn], list[Path]]]
"""Asset -> its heading in docs/dagster.md, its columns, and the files that make it."""


def _told(
    told: Told, where: Mapping[dg.AssetKey, Place], owned_by: Iterable[str], catalog: Catalog, spec: dg.AssetSpec
) -> dg.AssetSpec:
    heading, columns, files = told[spec.key]
    metadata: dict[str, object] = {HELP: _help(catalog.docs_url, heading)}
    if columns and "dagster/column_schema" not in spec.metadata:
        metadata["dagster/column_schema"] = dg.TableSchema(columns)
    if place := where.get(spec.key):
        metadata["dagster/uri"] = place.uri
        if place.table:
            metadata["dagster/table_name"] = place.table
    references = [
        dg.LocalFileCodeReference(file_path=str(path), line_number=1, label=f"{path.parent.name}/{path.name}")
        for path in files
    ]
    if references:
        metadata["dagster/code_references"] = dg.CodeReferencesMetadataValue(code_references=list(references))
    return spec.merge_attributes(metadata=metadata, owners=list(owned_by))


def _help(docs_url: str, heading: str) -> dg.MetadataValue[str | None]:
    page = f"{_PAGE}#{heading}"
    if docs_url:
        return dg.MetadataValue.url(f"{docs_url.rstrip('/')}/{page}")
    return dg.MetadataValue.text(f"docs/{page}")


def _told_of(stream: EventStream) -> Told:
    return {key: (heading, columns, files) for key, heading, columns, files in _each(stream)}


def _each(stream: EventStream) -> Iterator[tuple[dg.AssetKey, str, list[dg.TableColumn], list[Path]]]:
    folder = folder_of(stream.name)
    toml, enriched = _files(folder, "stream.toml"), _files(folder, "enriched.sql")
    columns = columns_known(stream)
    for table, needed in stream.tables.items():
        yield source_key(table), SOURCE, [_column_of(column) for column in needed], toml
    for loop in LOOPS:
        shown = columns if loop.name in ("relay", "stage") else []
        yield streamed_key(stream, loop.name), FILLED, shown, [_module(loop.module), *toml]
    yield dead_letters_key(stream), LETTERS, [], [_module(__package__ + ".dead_letters")]
    yield evidence_key(stream), EVIDENCE, [], [_module(__package__ + ".evidence")]
    yield events_key(stream), EVENTS, columns, [*enriched, *toml]
    for mart in stream.marts:
        yield mart_key(mart), DAILY, [], _files(folder, "marts", f"{mart}.sql")


def columns_known(stream: EventStream) -> list[dg.TableColumn]:
    """Return the columns of a message as far as the folder tells them, without asking the source."""
    types = {column.name: column.form.value for needed in stream.tables.values() for column in needed}
    return [dg.TableColumn(name, types.get(name, _COMPUTED), meaning) for name, meaning in stream.meanings.items()]


def _column_of(column: Needed) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique)
    return dg.TableColumn(column.name, column.form.value, column.meaning, constraints)


def _files(folder: Path | None, *parts: str) -> list[Path]:
    return [] if folder is None else [folder.joinpath(*parts)]


def _module(name: str) -> Path:
    """Return the file of a module of this package, which is not imported for it."""
    package = Path(__file__).parents[1]
    return package.joinpath(*name.split(".")[1:]).with_suffix(".py")
