"""What `port.Warehouse` promises, as one suite that every adapter passes.

An adapter's tests derive from it and give it a `store`:

    class TestDelta(WarehouseContract):
        @pytest.fixture
        def store(self, tmp_path: Path) -> Store: ...
"""

from engagement_platform_tests.adapters.warehouse.contract_columns import ColumnContract
from engagement_platform_tests.adapters.warehouse.contract_loads import LoadContract, TableContract
from engagement_platform_tests.adapters.warehouse.contract_queries import (
    QueryContract,
    RoundTripContract,
    SnapshotContract,
    UpkeepContract,
)
from engagement_platform_tests.adapters.warehouse.contract_replacements import (
    QueriedReplacementContract,
    ReplacementContract,
    RetirementContract,
)


class WarehouseContract(
    TableContract,
    ColumnContract,
    LoadContract,
    ReplacementContract,
    QueriedReplacementContract,
    RetirementContract,
    QueryContract,
    SnapshotContract,
    UpkeepContract,
    RoundTripContract,
):
    """All promises. Needs a fixture `store`; `warehouse` is an instance on it with `engagement_events` ensured."""
