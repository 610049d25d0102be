"""Makes the op that runs one loop under the lease of its run."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from engagement_platform.adapters import logs
from engagement_platform.adapters.streams import strange_variables
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.domain.stream_names import own_name
from engagement_platform.orchestration.failures import explained
from engagement_platform.orchestration.materializations import reported
from engagement_platform.orchestration.private import consoles
from engagement_platform.settings import Settings, load
from engagement_platform.stream.control import Control
from engagement_platform.stream.lease import hold_lease
from engagement_platform.stream.pauses import run_pausable
from engagement_platform.stream.registry import Loop

log = logging.getLogger("engagement_platform.streams")

_OF_A_POD = "DAGSTER_RUN_STEP_KEY"
"""Is set where dagster-k8s has given the op a pod of its own."""

RunLoop = Callable[[Settings, Control], None]

LEASE_SECONDS = dg.Field(
    dg.Noneable(float),
    is_required=False,
    default_value=None,
    description="How long this run streams, in seconds; 0 drains what is there and ends. "
    "Without it, ENGAGEMENT_LEASE_SECONDS.",
)

RESTARTS = dg.RetryPolicy(max_retries=20)
"""An op whose process dies, or whose loop raises, is started again at once, beside its siblings."""


def loop_op(
    stream: EventStream, loop: Loop, run_loop: RunLoop, loops: Sequence[str], shard: int = 0
) -> dg.OpDefinition:
    """Return an op that runs a loop of a stream until its run is superseded, its lease is over or it is asked to stop.

    Its output only says that the loop runs: it comes at once, so that the ops downstream run beside it. When draining
    it comes at the end, so that they drain what this one has written. `loops` are all loops of the job; those behind
    the first have an input. `shard` says which of the partitions it has; one run that drains has them all.
    """
    name = own_name(stream.name, loop.name)

    @dg.op(
        name=of_shard(name, shard),
        description=loop.description,
        ins={"upstream": dg.In(dg.Nothing)} if loop.name != loops[0] else None,
        out=dg.Out(dg.Nothing),
        config_schema={"lease_seconds": LEASE_SECONDS},
        retry_policy=RESTARTS,
    )
    def op(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        logs.reform(consoles(context.log))
        with logs.bound(stream=stream.name, run=context.run_id, loop=loop.name):
            yield from run_under_lease(context)

    def run_under_lease(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        in_own_process = multiprocessing.parent_process() is not None or _OF_A_POD in os.environ
        with explained(stream.name):
            settings = load(stream.name)
        if loop.name == loops[0]:
            for error in strange_variables():
                log.warning("%s", error)
        chosen = context.op_config["lease_seconds"]
        lease_seconds = settings.lease.seconds if chosen is None else chosen
        if lease_seconds > 0:
            yield dg.Output(None)
        elif shard > 0:
            context.log.info(f"Nothing to drain: the run of {job_name(stream.name)} has all partitions then.")
            yield dg.Output(None)
            return
        with explained(stream.name):
            part = _part_of(settings, shard, drains=lease_seconds == 0)
        with (
            explained(
                stream.name, gives_up_when_refused=True
            ),  # a drain raises it, and would at once raise it 20 times more
            hold_lease(
                settings,
                run_id=context.run_id,
                loop=loop.name,
                loops=loops,
                lease_seconds=lease_seconds,
                end_hung=_kill_this_process if in_own_process else _let_it_hang,
                shard=part,
            ) as control,
            reported(context, dg.AssetKey(loop.asset_of(stream)), control.progress),
        ):
            if loop.is_pausable:
                run_pausable(run_loop, settings, control, loop.name)
            else:
                run_loop(settings, control)
        if control.stop.reason:
            context.log.info(control.stop.reason)
        if lease_seconds == 0:
            yield dg.Output(None)

    return op


def job_name(stream: str, shard: int = 0) -> str:
    """Return the name of the job of a stream, or of one of its shards."""
    return of_shard(f"{stream}_stream", shard)


def of_shard(name: str, shard: int) -> str:
    """Return what something of Dagster is named for a shard; for the first as if there were no others."""
    return f"{name}_shard_{shard}" if shard else name


def _part_of(settings: Settings, shard: int, *, drains: bool) -> Shard:
    """Return the partitions of a run. Raises SettingsError where the settings have fewer shards than the job is for."""
    number = settings.lease.shards
    if drains:
        return WHOLE
    if shard >= number:
        raise SettingsError(
            f"{settings.lease.variable('shards')} is {number}, so there is no shard {shard}.",
            "Reload the code location: it has the jobs of the shards that there were.",
        )
    return Shard(shard, number)


def _kill_this_process() -> None:
    """End the process without its cleaning up, which would wait for what hangs. Dagster starts the op again.

    The first process of a container cannot be ended from within: in a pod, the chart lets it not be the first.
    """
    os.kill(os.getpid(), signal.SIGKILL)


def _let_it_hang() -> None:
    """Leave the process alone: it is not the op's own."""
