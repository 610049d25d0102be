"""The contract over BigQuery, that is, over the stand-in of its API."""

from engagement_platform_tests.adapters.warehouse.contract import WarehouseContract


class TestBigQuery(WarehouseContract):
    pass
