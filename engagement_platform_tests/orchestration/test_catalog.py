"""What Dagster's catalog says of each asset: every one of them says it."""

import re
from pathlib import Path

import dagster as dg
import pytest

from engagement_platform.definitions import shared
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.table import Table
from engagement_platform.orchestration import catalog
from engagement_platform.orchestration.assets import source_key
from engagement_platform.orchestration.location import definitions_of, location
from engagement_platform.orchestration.warehouse.columns import described
from engagement_platform.settings import catalog_of
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS, ORDERS, PACKAGED, known

ROOT = Path(__file__).parents[2]
SECRET = "s3cret"


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, dg.AssetSpec]:
    """Every asset of two streams, with settings as an operator has them."""
    for name, value in {
        "SOURCE_DSN": f"postgresql://reader:{SECRET}@db.example/media",
        "PLATFORM_DSN": f"postgresql://platform:{SECRET}@db.example/platform",
        "REDIS_URL": f"redis://:{SECRET}@cache.example/0",
        "API_URL": f"https://partner.example/{SECRET}",
        "ORDERS__API_URL": f"https://shop.example/{SECRET}",
        "WAREHOUSE_URI": str(tmp_path),
        "OWNERS": "team:data, ana@example.com",
        "SOURCE_OWNERS": "team:media",
        "DOCS_URL": "https://docs.example/platform/",
    }.items():
        monkeypatch.setenv(f"ENGAGEMENT_{name}", value)
    with known(ORDERS):
        loaded = dg.Definitions.merge(shared([PACKAGED, ORDERS]), definitions_of(PACKAGED), definitions_of(ORDERS))
        return {spec.key.to_user_string(): spec for spec in loaded.resolve_all_asset_specs()}


def test_every_asset_says_who_answers_for_it_where_it_lies_and_what_to_do(specs: dict[str, dg.AssetSpec]) -> None:
    assert len(specs) > 15
    for name, spec in specs.items():
        of_source = name.startswith("postgres/")
        assert list(spec.owners) == (["team:media"] if of_source else ["team:data", "ana@example.com"]), name
        assert spec.description, name
        assert spec.kinds, name
        assert spec.group_name, name
        if not name.endswith("delivery_evidence"):  # lies in Dagster alone
            assert spec.metadata["dagster/uri"], name
        assert str(spec.metadata[catalog.HELP].value).startswith("https://docs.example/platform/dagster.md#"), name
        if "table" in spec.kinds:
            assert spec.metadata["dagster/table_name"], name


def test_nothing_secret_stands_in_the_catalog(specs: dict[str, dg.AssetSpec]) -> None:
    assert not [name for name, spec in specs.items() if SECRET in repr(spec)]


def test_code_references_lead_to_files_that_are_there(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        if "orders" in name:  # a stream without a folder, as only tests have
            continue
        value = spec.metadata["dagster/code_references"]
        assert isinstance(value, dg.CodeReferencesMetadataValue)
        files = [one.file_path for one in value.code_references if isinstance(one, dg.LocalFileCodeReference)]
        assert files, name
        assert not [file for file in files if not Path(file).is_file()], name


def test_tables_and_topics_tell_their_columns(specs: dict[str, dg.AssetSpec]) -> None:
    for name in ("postgres/content_source", "kafka/engagement_events_topic", "warehouse/engagement_events"):
        schema = specs[name].metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns), name
    known_columns = {column.name: column for column in catalog.columns_known(PACKAGED)}
    assert set(known_columns) == {column.name for column in ENGAGEMENT_EVENTS.columns}
    assert known_columns["duration_ms"].type == "bigint"


def test_the_page_that_is_named_has_a_heading_for_each() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "dagster.md").read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert {catalog.SOURCE, catalog.FILLED, catalog.LETTERS, catalog.EVENTS, catalog.DAILY} <= anchors


def test_without_settings_nothing_is_said_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE_DSN", "PLATFORM_DSN"):
        monkeypatch.delenv(f"ENGAGEMENT_{name}", raising=False)
    specs = dg.Definitions.merge(shared([PACKAGED]), definitions_of(PACKAGED)).resolve_all_asset_specs()
    assert not [spec for spec in specs if "dagster/uri" in spec.metadata]
    assert all(str(spec.metadata[catalog.HELP].value).startswith("docs/dagster.md#") for spec in specs)


@pytest.mark.parametrize(("name", "value"), [("OWNERS", "data"), ("SOURCE_OWNERS", "team:"), ("DOCS_URL", "docs")])
def test_what_is_no_owner_or_address_is_named_and_stops_the_stream(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ENGAGEMENT_{name}", value)
    with pytest.raises(SettingsError, match=f"ENGAGEMENT_{name}"):
        catalog_of()
    loaded = location({"engagement": PACKAGED}, shared)
    (sensor,) = [one for one in loaded.sensors or () if one.name == "keep_engagement_stream_alive"]
    assert f"ENGAGEMENT_{name}" in str(sensor.description)


def test_a_stream_may_have_owners_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_OWNERS", "team:data")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__OWNERS", "team:shop")
    assert (catalog_of().owners, catalog_of("orders").owners) == ("team:data", "team:shop")


def test_columns_say_in_words_and_to_dagster_what_they_are_made_from() -> None:
    table: Table = ENGAGEMENT_EVENTS
    lineage = {"slug": (("content", "slug"),), "id": (("engagement_events", "id"), ("gone", "x"))}
    keys = {"content": source_key("content"), "engagement_events": source_key("engagement_events")}
    told = described(table, lineage, keys)
    schema, made_from = told["dagster/column_schema"], told["dagster/column_lineage"]
    assert isinstance(schema, dg.TableSchema)
    assert isinstance(made_from, dg.TableColumnLineage)
    descriptions = {column.name: str(column.description) for column in schema.columns}
    assert descriptions["slug"].endswith("From content.slug.")
    assert [dep.column_name for dep in made_from.deps_by_column["id"]] == ["id"], "what is no asset is left out"
    assert "dagster/column_lineage" not in described(table, {}, keys)
