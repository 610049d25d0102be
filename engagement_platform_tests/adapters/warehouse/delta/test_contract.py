"""The contract over Delta Lake in a folder."""

import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, Schema
from deltalake.schema import PrimitiveType

from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.adapters.warehouse.delta import tables
from engagement_platform.adapters.warehouse.port import Warehouse
from engagement_platform_tests.adapters.warehouse.contract import WarehouseContract
from engagement_platform_tests.adapters.warehouse.rows import DAY
from engagement_platform_tests.adapters.warehouse.support import Store, warehouse_settings
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS


class DeltaStore:
    """A folder of Delta tables."""

    days = (date.min, date(1969, 12, 31), DAY, date.max)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> Warehouse:
        return open_warehouse(warehouse_settings(warehouse="delta", warehouse_uri=str(self.folder)))

    def drop(self, name: str) -> None:
        shutil.rmtree(self.folder / name)

    def drop_column(self, name: str, column: str) -> None:
        schema = tables.stored_schema(ENGAGEMENT_EVENTS)
        self._make_anew(name, schema.remove(schema.get_field_index(column)))

    def retype_column(self, name: str, column: str) -> None:
        schema = tables.stored_schema(ENGAGEMENT_EVENTS)
        self._make_anew(name, schema.set(schema.get_field_index(column), pa.field(column, pa.string())))

    def _make_anew(self, name: str, schema: pa.Schema) -> None:
        self.drop(name)
        DeltaTable.create(str(self.folder / name), Schema.from_arrow(schema), partition_by=["event_date"])

    def add_column(self, name: str, column: str) -> None:
        DeltaTable(str(self.folder / name)).alter.add_columns(Field(column, PrimitiveType("string")))


class TestDelta(WarehouseContract):
    @pytest.fixture
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> Store:
        return DeltaStore(tmp_path_factory.mktemp("a warehouse with a blank"))
