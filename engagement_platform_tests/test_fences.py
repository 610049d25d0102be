"""What a library does not offer is touched in one file for each library, and its names are still there.

After a new release that fails here: look at what the fenced file does with the name, and at the library's changes.
"""

import ast
import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import dagster as dg
import pytest
from dagster._annotations import is_public
from dagster._core.storage import dagster_run
from kafka.cluster import ClusterMetadata
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager

from engagement_platform.orchestration.runs import ACTIVE, ENDED, UNFINISHED
from engagement_platform_tests.fences import PACKAGE, imports, is_private, missing, own_names, private_attributes

KAFKA, DAGSTER = "adapters/kafka/kafka_python/private.py", "orchestration/private.py"
KAFKA_RECORDS = "adapters/kafka/kafka_python/records.py"
NEEDED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    KAFKA: {
        "kafka.net.compat.KafkaNetClient": ("_manager", "cluster", "close"),
        "kafka.net.manager.KafkaConnectionManager": ("_connect", "cluster", "wait_for"),
        "kafka.net.selector.NetworkSelector": ("run",),
        "kafka.net.connection.KafkaConnection": ("_sasl_authenticate", "init_future"),
        "kafka.future.Future": ("failed", "exception"),
        "kafka.cluster.ClusterMetadata": (
            "config", "topic_id", "partitions_for_topic", "add_listener", "set_topics", "request_update",
        ),
        "kafka.KafkaConsumer": ("_cluster", "_fetcher", "_manager", "_net"),
        "kafka.KafkaProducer": ("_transaction_manager", "_sender"),
        "kafka.producer.transaction_manager.TransactionManager": (
            "begin_commit", "begin_abort", "last_error", "has_error", "maybe_add_partition_to_transaction",
            "is_send_to_partition_allowed",
        ),
        "kafka.producer.transaction_manager.TransactionalRequestResult": ("wait",),
        "kafka.producer.sender.Sender": ("config", "wakeup", "force_close"),
        "kafka.consumer.fetcher.Fetcher": ("PartitionRecords",),
    },
    KAFKA_RECORDS: {
        "kafka.consumer.fetcher": ("Fetcher", "IsolationLevel"),
        "kafka.consumer.fetcher.Fetcher": (
            "_unpack_records", "_consume_aborted_transactions_up_to", "_contains_abort_marker", "_is_batch_aborted",
            "aborted_producer_ids", "next_fetch_offset", "leader_epoch", "records_read", "bytes_read", "drain",
        ),
        "kafka.record.default_records.DefaultRecordBatch": ("_buffer", "_pos", "records_count", "is_control_batch"),
        "kafka.record.util": ("decode_varint",),
    },
    DAGSTER: {
        "dagster._core.definitions.assets.graph.base_asset_graph.BaseAssetGraph": (),
        "dagster._core.definitions.unresolved_asset_job_definition.UnresolvedAssetJobDefinition": (),
        "dagster._core.definitions.assets.job.asset_job": ("IMPLICIT_ASSET_JOB_NAME",),
        "dagster._core.event_api": ("PartitionKeyFilter",),
        "dagster._core.storage.asset_check_execution_record": ("AssetCheckExecutionRecordStatus",),
        "dagster._core.execution.backfill": ("BULK_ACTION_TERMINAL_STATUSES", "PartitionBackfill"),
        "dagster._core.execution.backfill.PartitionBackfill": (
            "backfill_id", "status", "error", "title", "backfill_timestamp", "backfill_end_timestamp",
            "get_asset_backfill_data",
        ),
        "dagster._core.execution.asset_backfill.AssetBackfillData": (
            "target_subset", "materialized_subset", "failed_and_downstream_subset", "requested_subset",
        ),
        "dagster._core.execution.asset_backfill.AssetGraphSubset": ("asset_keys", "get_partitions_subset"),
        "dagster._core.execution.asset_backfill.PartitionsSubset": ("get_partition_keys",),
        "dagster.Definitions": ("resolve_asset_graph",),
        "dagster.DagsterInstance": (
            "get_backfill", "get_backfills", "get_daemon_heartbeats", "get_concurrency_config", "all_instigator_state",
            "report_run_failed", "report_run_canceled", "run_coordinator", "event_log_storage", "get_daemon_statuses",
            "get_runs_count", "get_status_by_partition", "get_tick_summaries", "get_ticks", "report_dagster_event",
            "get_records_for_run", "upgrade",
        ),
        "dagster._core.storage.event_log.base.EventLogStorage": (
            "get_latest_storage_id_by_partition", "get_latest_asset_check_execution_by_key",
            "get_asset_check_partition_info", "get_asset_check_execution_history",
        ),
        "dagster._core.storage.asset_check_execution_record.AssetCheckExecutionRecord": (
            "id", "key", "status", "event", "partition", "run_id", "evaluation",
        ),
        "dagster._core.storage.asset_check_execution_record.AssetCheckPartitionInfo": (
            "check_key", "partition_key", "latest_execution_status",
        ),
        "dagster._core.scheduler.instigation.InstigatorState": (
            "instigator_name", "instigator_type", "is_running", "instigator_origin_id", "selector_id",
        ),
        "dagster._core.scheduler.instigation.InstigatorTickSummary": ("status", "timestamp"),
        "dagster._core.scheduler.instigation.InstigatorTick": ("error",),
        "dagster._daemon.types.DaemonStatus": ("healthy", "last_heartbeat"),
        "dagster._core.log_manager.DagsterLogHandler": ("_loggers",),
        "dagster._core.executor.step_delegating.step_delegating_executor.StepDelegatingExecutor": (
            "_check_step_health_interval_seconds",
        ),
        "dagster._core.storage.dagster_run.DagsterRun": ("remote_job_origin",),
        "dagster.SensorEvaluationContext": ("code_location_origin",),
    },
    "adapters/partner/connection.py": {
        "urllib3.connection.HTTPConnection": ("_new_conn",),
        "http.client.HTTPResponse": ("_read_status",),
    },
    "adapters/warehouse/bigquery/client.py": {"google.cloud.client.Client": ("_credentials",)},
}  # fmt: skip
LIBRARIES = {KAFKA: "kafka-python", KAFKA_RECORDS: "kafka-python", DAGSTER: "dagster"}

OFFERED = ("kafka", "kafka.admin", "kafka.errors", "kafka.partitioner", "confluent_kafka", "confluent_kafka.admin")
"""The modules in which clients of Kafka offer something. Dagster offers all that it does at its top."""


@cache
def modules() -> Mapping[str, ast.Module]:
    """Return the modules of the package by their paths. Not at import: every process of the tests would parse them."""
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("file", NEEDED)
def test_what_is_touched_of_a_library_is_still_there(file: str) -> None:
    library = LIBRARIES.get(file)
    what = f"{library} {version(library)}" if library else "a library"
    assert missing(NEEDED[file]) == [], f"{what} has moved what engagement_platform/{file} uses"


def test_what_has_moved_is_named() -> None:
    needed = {"kafka.KafkaProducer": ("_sender", "_gone"), "kafka.gone": ("x",), "kafka.Gone": ("x",)}
    assert missing(needed) == ["kafka.KafkaProducer._gone", "kafka.gone", "kafka.Gone"]


@pytest.mark.parametrize("file", NEEDED)
def test_every_private_name_in_a_fence_is_listed(file: str) -> None:
    listed = {name for members in NEEDED[file].values() for name in members}
    assert private_attributes(modules()[file]) <= listed
    owners = {*NEEDED[file], *(f"{owner}.{name}" for owner, names in NEEDED[file].items() for name in names)}
    assert {f"{module}.{name}" for module, name in imports(modules()[file]) if _is_inside(module, name)} <= owners


def test_nothing_else_touches_what_a_library_does_not_offer() -> None:
    inherited = frozenset(name for tree in modules().values() for name in own_names(tree))
    touched = {
        file: {*private_attributes(tree, inherited), *(found for found in imports(tree) if _is_inside(*found))}
        for file, tree in modules().items()
        if file not in NEEDED
    }
    assert {file: names for file, names in touched.items() if names} == {}


def _is_inside(module: str, name: str) -> bool:
    """Say whether an import is of something that a library, or another module of ours, does not offer."""
    if any(map(is_private, [*module.split("."), name])):
        return True
    library = module.split(".", maxsplit=1)[0]
    if library == "dagster":
        return module != "dagster"
    if library not in ("kafka", "confluent_kafka"):
        return False
    names = getattr(importlib.import_module(module), "__all__", None)
    return module not in OFFERED or (names is not None and name not in ("", "errors", *names))


def test_what_a_library_does_not_offer_is_recognized() -> None:
    code = "class Own(Theirs):\n def f(self, other): return self._mine, self._sender, other._sender, super()._theirs"
    assert private_attributes(ast.parse(code), frozenset({"_mine"})) == {"_sender", "_theirs"}
    assert _is_inside("kafka.consumer.fetcher", "ConsumerRecord")
    assert _is_inside("kafka.admin", "NewTopic")  # deprecated
    assert _is_inside("dagster._core.events", "DagsterEvent")
    assert _is_inside("engagement_platform.settings", "_fields")
    assert not any(_is_inside(*offered) for offered in [("kafka", "OffsetSpec"), ("kafka", ""), ("dagster", "op")])
    assert not any(map(_is_documented, ["get_runs", "add_backfill"]))
    assert all(map(_is_documented, ["get_run_records", "delete_run"]))


def test_only_what_dagster_documents_is_asked_of_its_instance() -> None:
    asked = {
        file: {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and _is_instance(node.value) and not _is_documented(node.attr)
        }
        for file, tree in modules().items()
        if file != DAGSTER
    }
    assert {file: names for file, names in asked.items() if names} == {}


def _is_instance(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("instance", "dagster", "_dagster", "DagsterInstance")


def _is_documented(name: str) -> bool:
    found = inspect.getattr_static(dg.DagsterInstance, name, None)
    return found is None or is_public(getattr(found, "__func__", found))


def test_how_kafka_connects_is_as_it_was() -> None:
    """Both are replaced by coroutines that call them; options are set where the client reads them."""
    assert inspect.iscoroutinefunction(KafkaConnectionManager._connect)
    assert list(inspect.signature(KafkaConnectionManager._connect).parameters)[:3] == ["self", "node", "conn"]
    assert inspect.iscoroutinefunction(KafkaConnection._sasl_authenticate)
    assert {"allow_auto_create_topics", "retry_backoff_ms"} <= ClusterMetadata.DEFAULT_CONFIG.keys()


def test_every_state_of_a_run_is_known() -> None:
    """Dagster has lists of its own, which it does not offer."""
    assert set(ACTIVE) == set(dagster_run.ACTIVE_RUN_STATUSES)
    assert set(ENDED) == set(dagster_run.FINISHED_STATUSES)
    assert set(UNFINISHED) - set(dagster_run.NOT_FINISHED_STATUSES) == {dg.DagsterRunStatus.MANAGED}
