"""What stands in Dagster for a stream whose folder cannot be used: it says so, and all else of the location works.

The job is there so that a run which was launched before the folder broke ends with the same words.
"""

import dagster as dg

from engagement_platform.domain.errors import SettingsError
from engagement_platform.orchestration.loop_op import LEASE_SECONDS
from engagement_platform.orchestration.sensors import sensor_name
from engagement_platform.orchestration.stream_job import TAGS, job_name

_RELOAD = "Then reload the code location: in Dagster, Deployment, or start dagster dev again."


def broken_of(name: str, error: SettingsError) -> dg.Definitions:
    """Return the sensor and the job of a stream that cannot be used; both fail with the error."""
    said = f"{error} {_RELOAD}"

    @dg.op(name=f"{name}_cannot_be_used", description=said, config_schema={"lease_seconds": LEASE_SECONDS})
    def cannot_be_used() -> None:
        raise dg.Failure(said, allow_retries=False)

    @dg.job(
        name=job_name(name),
        description=said,
        config=dg.ConfigMapping(
            config_fn=lambda config: {"ops": {f"{name}_cannot_be_used": {"config": config}}},
            config_schema={"lease_seconds": LEASE_SECONDS},
        ),
        tags=TAGS,
    )
    def job() -> None:
        cannot_be_used()

    @dg.sensor(
        name=sensor_name(name),
        job_name=job_name(name),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=said,
    )
    def keep_alive(_: dg.SensorEvaluationContext) -> None:
        raise SettingsError(error.what, f"{error.todo} {_RELOAD}".strip())

    return dg.Definitions(jobs=[job], sensors=[keep_alive])
