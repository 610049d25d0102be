"""Names that people and stored data refer to: those of the packaged stream stay, and another stream adds its own."""

from collections.abc import Mapping

import dagster as dg

from engagement_platform.definitions import definitions
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.orchestration.assets import sources_of
from engagement_platform.orchestration.location import definitions_of
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.streams import ORDERS, PACKAGED, PINGS, made

JOBS = {
    "count_dead_letters": ["kafka__dead_letters"],
    "engagement_stream": sorted(NAMES),
    "keep_warehouse_small": ["tidy_up"],
    "prove_delivery": ["delivery_evidence"],
    "prune_engagement_stream_runs": ["delete_old_stream_runs"],
    "redrive_dead_letters": ["redrive_letters_of_a_day"],
    "refresh_marts": [
        "warehouse__daily_content_engagement",
        "warehouse__daily_device_engagement",
        "warehouse__hourly_engagement",
    ],
    "settle_day": [
        "reconciliation",
        "warehouse__daily_content_engagement",
        "warehouse__daily_device_engagement",
        "warehouse__engagement_events",
        "warehouse__engagement_events_days_known",
        "warehouse__engagement_events_values_known",
        "warehouse__hourly_engagement",
    ],
}
"""Job -> its steps."""

TAGS = {"engagement_stream": {"dagster/priority": "10", "dagster/max_retries": "0"}}

SCHEDULES = {
    "count_dead_letters_hourly": ("7 * * * *", "count_dead_letters"),
    "keep_warehouse_small_hourly": ("47 * * * *", "keep_warehouse_small"),
    "prove_delivery_hourly": ("12 * * * *", "prove_delivery"),
    "prune_engagement_stream_runs_daily": ("17 4 * * *", "prune_engagement_stream_runs"),
    "refresh_late_days": ("15 1 * * *", "refresh_marts"),
    "refresh_today": ("*/5 * * * *", "refresh_marts"),
    "settle_yesterday": ("30 0 * * *", "settle_day"),
}

SENSORS = {
    "end_dead_runs": [],
    "tell_what_is_wrong": [],
    "judge_loops": [],
    "keep_engagement_stream_alive": ["engagement_stream"],
    "rebuild_days_that_are_due": ["settle_day"],
    "report_staged_days": [],
}
"""Sensor -> the jobs that it launches."""

_SOURCE = ["postgres/content_source", "postgres/engagement_events_source"]
_KEPT = ["kafka/engagement_events_topic", "partner/api", "redis/engagement_views", "warehouse/staged_batches"]
ASSETS = {
    "delivery_evidence": ("stream", _KEPT),
    "kafka/dead_letters": ("stream", ["kafka/engagement_events_topic", "partner/api", "warehouse/staged_batches"]),
    "kafka/engagement_events_topic": ("stream", _SOURCE),
    "partner/api": ("stream", ["kafka/engagement_events_topic"]),
    "postgres/content_source": ("source", []),
    "postgres/engagement_events_source": ("source", ["postgres/content_source"]),
    "redis/engagement_views": ("stream", ["kafka/engagement_events_topic"]),
    "warehouse/daily_content_engagement": ("warehouse", ["warehouse/engagement_events"]),
    "warehouse/daily_device_engagement": ("warehouse", ["warehouse/engagement_events"]),
    "warehouse/engagement_events": ("warehouse", [*_SOURCE, "warehouse/staged_batches"]),
    "warehouse/hourly_engagement": ("warehouse", ["warehouse/engagement_events"]),
    "warehouse/staged_batches": ("stream", ["kafka/engagement_events_topic"]),
}
"""Asset -> its group, and what it depends on."""

CHECKS = {
    "brought_by_stream",
    "content_known",
    "days_known",
    "own_day",
    "same_milliseconds_as_source",
    "same_rows_as_source",
    "same_values_as_source",
    "unique_ids",
    "up_to_date",
    "values_fit",
    "values_known",
}
"""Of the table of the events."""

OF_LOOPS = {"keeps_up", "latency_as_promised"}
"""Checks of each asset that a loop keeps up to date."""
EVIDENT = "every_sink_has_every_event"

OF_ORDERS = {
    "jobs": {
        "orders_count_dead_letters",
        "orders_prove_delivery",
        "orders_redrive_dead_letters",
        "orders_settle_day",
        "orders_stream",
    },
    "schedules": {"orders_count_dead_letters_hourly", "orders_prove_delivery_hourly", "orders_settle_yesterday"},
    "sensors": {
        "keep_orders_stream_alive",
        "orders_judge_loops",
        "orders_rebuild_days_that_are_due",
        "orders_report_staged_days",
    },
    "assets": {
        "kafka/orders_topic",
        "kafka/orders_dead_letters",
        "orders_delivery_evidence",
        "partner/orders_api",
        "postgres/shop/shop_orders_source",
        "redis/orders_views",
        "warehouse/orders",
        "warehouse/orders_staged_batches",
    },
    "checks": {
        f"warehouse/orders:{name}"
        for name in (
            "brought_by_stream",
            "days_known",
            "own_day",
            "same_cents_as_source",
            "same_rows_as_source",
            "same_values_as_source",
            "unique_ids",
            "up_to_date",
            "values_fit",
        )
    }
    | {
        f"{asset}:{name}"
        for asset in (
            "kafka/orders_topic",
            "partner/orders_api",
            "redis/orders_views",
            "warehouse/orders_staged_batches",
        )
        for name in OF_LOOPS
    }
    | {"orders_delivery_evidence:every_sink_has_every_event"},
}

Names = Mapping[str, Mapping[str, object]]


def names_of(loaded: dg.Definitions) -> dict[str, dict[str, object]]:
    """Return kind -> name -> what else is fixed with it."""
    repository, graph = loaded.get_repository_def(), loaded.resolve_asset_graph()
    jobs = [repository.get_job(name) for name in repository.job_names if not name.startswith("__")]
    return {
        "jobs": {job.name: (sorted(node.name for node in job.nodes), dict(job.tags)) for job in jobs},
        "schedules": {one.name: (one.cron_schedule, one.job_name) for one in repository.schedule_defs},
        "sensors": {one.name: [target.job_name for target in one.targets] for one in repository.sensor_defs},
        "assets": {
            key.to_user_string(): (
                graph.get(key).group_name,
                sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            )
            for key in graph.get_all_asset_keys()
        },
        "checks": {f"{key.asset_key.to_user_string()}:{key.name}": None for key in graph.asset_check_keys},
    }


def together(*streams: EventStream) -> dg.Definitions:
    sources = dg.Definitions(assets=sources_of(streams))
    return dg.Definitions.merge(sources, *(definitions_of(stream) for stream in streams))


def test_the_names_of_the_packaged_stream_stay() -> None:
    names = names_of(definitions)
    assert names["jobs"] == {name: (steps, TAGS.get(name, {})) for name, steps in JOBS.items()}
    assert names["schedules"] == SCHEDULES
    assert names["sensors"] == SENSORS
    assert names["assets"] == ASSETS
    others = {f"{asset}:{name}" for asset in _KEPT for name in OF_LOOPS} | {f"delivery_evidence:{EVIDENT}"}
    assert set(names["checks"]) == {f"warehouse/engagement_events:{name}" for name in CHECKS} | others


def test_the_run_config_and_the_steps_of_the_stream_stay() -> None:
    job = definitions.resolve_job_def("engagement_stream")
    assert job.run_config_schema is not None
    dg.validate_run_config(job, {"lease_seconds": 0})
    assert next(node.name for node in job.nodes_in_topological_order) == "relay"


def test_another_stream_adds_its_own_and_changes_none_of_the_first() -> None:
    alone, both = names_of(together(PACKAGED)), names_of(together(PACKAGED, ORDERS))
    for kind, names in alone.items():
        assert both[kind] == both[kind] | names, "as it was without the other"
        assert both[kind].keys() - names.keys() == OF_ORDERS[kind]


def test_the_order_of_streams_changes_no_name() -> None:
    assert names_of(together(ORDERS, PINGS, PACKAGED)) == names_of(together(PACKAGED, ORDERS, PINGS))


def test_what_is_not_said_in_a_folder_is_not_checked() -> None:
    checks = {name.split(":")[1] for name in names_of(together(PINGS))["checks"]} - OF_LOOPS - {EVIDENT}
    assert checks == {
        "brought_by_stream",
        "days_known",
        "own_day",
        "same_rows_as_source",
        "same_values_as_source",
        "unique_ids",
        "up_to_date",
        "values_fit",
    }
    said = made(
        "said",
        table="said",
        views={"dimensions": {"host": {"column": "host"}}, "measures": {"b": "bytes"}},
        checks={
            "unit": "bytes",
            "joined": {"rack": {"column": "host", "brings": "rack"}, "room": {"column": "host", "brings": "room"}},
            "known_values": {"host": ["a"]},
        },
    )
    more = {name.split(":")[1] for name in names_of(together(said))["checks"]} - checks - OF_LOOPS - {EVIDENT}
    assert more == {"same_bytes_as_source", "rack_known", "room_known", "values_known"}


def test_marts_are_downstream_of_what_they_read() -> None:
    marts = {
        "a_week": "SELECT @day AS day, n FROM daily JOIN `p.d.hourly` USING (n)",
        "daily": "SELECT @day AS day, n FROM `hourly` AS h, sums",
        "hourly": "SELECT @day AS day, daily FROM sold WHERE at >= @begin",
    }
    stream = made("sold", table="sold", marts=marts)
    assert list(stream.marts) == ["hourly", "daily", "a_week"]
    assets = names_of(together(stream))["assets"]
    assert assets["warehouse/a_week"] == ("sold_warehouse", ["warehouse/daily", "warehouse/hourly", "warehouse/sold"])
    assert assets["warehouse/daily"] == ("sold_warehouse", ["warehouse/hourly", "warehouse/sold"])
    assert assets["warehouse/hourly"] == ("sold_warehouse", ["warehouse/sold"])


def test_no_two_assets_have_the_same_last_name() -> None:
    """The lineage shows no other part of a name: a topic, a source's table and the warehouse's are named alike."""
    last = [name.rpartition("/")[2] for name in names_of(together(PACKAGED, ORDERS, PINGS))["assets"]]
    assert sorted(last) == sorted(set(last))
