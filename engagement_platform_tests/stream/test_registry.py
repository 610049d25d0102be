"""The entries of the registry are true of the loops, and everything that is made for every loop is made from them."""

import inspect
import subprocess
import sys

import dagster as dg
import pytest

from engagement_platform.definitions import definitions
from engagement_platform.domain.leases import HURRIED
from engagement_platform.domain.redrive import Sink
from engagement_platform.stream import registry
from engagement_platform.stream.forward.clients import SOURCE
from engagement_platform.stream.registry import LOOPS, NAMES, PAUSABLE, Loop
from engagement_platform.stream.stage.batch import WRITER
from engagement_platform_tests.streams import ORDERS, PACKAGED
from engagement_platform_tests.test_cli import HEAVY


@pytest.mark.parametrize("loop", LOOPS, ids=NAMES)
def test_a_module_has_what_is_asked_of_it(loop: Loop) -> None:
    module = loop.imported()
    for function, parameters in ((module.run, ["settings", "control"]), (module.backlog, ["settings"])):
        signature = inspect.signature(function)
        assert list(signature.parameters)[: len(parameters)] == parameters
        signature.bind(*parameters)  # what else it may be given has a default


@pytest.mark.parametrize("loop", LOOPS, ids=NAMES)
def test_its_asset_is_registered_and_its_op_says_what_it_does(loop: Loop) -> None:
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey(loop.asset_of(PACKAGED))).description == loop.kept_of(PACKAGED)
    op = definitions.resolve_job_def("engagement_stream").get_node_named(loop.name).definition
    assert op.description == loop.description


def test_an_asset_has_the_name_of_its_stream_where_its_key_says_so_or_in_front() -> None:
    assert [loop.asset_of(ORDERS) for loop in LOOPS] == [
        ("kafka", "orders_topic"),
        ("redis", "orders_views"),
        ("warehouse", "orders_staged_batches"),
        ("partner", "orders_api"),
    ]
    sink = Loop("another", "", "", ("sqlite", "finished"), "")
    assert sink.asset_of(PACKAGED) == ("sqlite", "finished")
    assert sink.asset_of(ORDERS) == ("sqlite", "orders_finished")


def test_names_are_those_that_stand_in_the_data() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {SOURCE, WRITER} <= set(NAMES)
    assert set(NAMES) >= HURRIED
    assert set(PAUSABLE) < set(NAMES)


def test_what_is_missing_of_a_dead_letter_is_where_its_loop_brings_events() -> None:
    assert registry.lacking()[WRITER] == {Sink.WAREHOUSE}
    assert registry.lacking()[SOURCE] == {Sink.API}
    assert registry.lacking()["relay"] == set(Sink)


def test_it_names_the_loops_without_a_client() -> None:
    program = f"import sys, engagement_platform.stream.registry; print(set({HEAVY}) & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"
